"""docs/scaling.md: how embeddings go into FAISS and LanceDB, run as printed.

Skipped where they are not installed: pip install faiss-cpu lancedb.
"""

import importlib.util
import re
import subprocess
import sys

import numpy as np
import pytest

from reid_jax.footage import appearances, cameras, output
from reid_jax.retrieval import distances
from tests import ROOT

_NUM, _DIMENSIONS = 40, 16


@pytest.fixture
def seen(tmp_path):
    """Tracks of two cameras, and `station.npz` of them."""
    rng = np.random.default_rng(0)
    recordings = [
        cameras.Recording(name, name, tmp_path / f"{name}.mp4", tmp_path / "x.txt")
        for name in ("hall", "gate")
    ]
    seen = appearances.Appearances(
        recordings,
        rng.random((_NUM, _DIMENSIONS), np.float32),
        np.repeat([0, 1], _NUM // 2),
        np.tile(np.arange(_NUM // 2), 2),
        [np.array([1, 9])] * _NUM,
        np.tile([0.0, 1.0], (_NUM, 1)),
        [[]] * _NUM,
    )
    output.write_embeddings(tmp_path / "station.npz", seen)
    return seen


@pytest.mark.parametrize(
    ("engine", "searched"), [("faiss", ("hall", "gate")), ("lancedb", ("hall",))]
)
def test_the_nearest_tracks_by(engine, searched, seen, tmp_path):
    text = (ROOT / "docs" / "scaling.md").read_text()
    (block,) = re.findall(rf"```python\n(import {engine}\n.*?)```", text, re.DOTALL)
    if not importlib.util.find_spec(engine):
        pytest.skip(f"{engine} is not installed")
    # In a process of its own: warnings of an engine, errors here, are its own matter.
    ended = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    searched_tracks = [i for i in range(_NUM) if seen.of(i).camera in searched]
    nearest, positions = distances.top_k(
        seen.embeddings[:1], seen.embeddings[searched_tracks], 5
    )
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert [name for name, _ in lines] == [
        seen.name(searched_tracks[i]) for i in positions[0]
    ]
    np.testing.assert_allclose([float(d) for _, d in lines], nearest[0], atol=1e-3)
