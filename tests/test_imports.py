"""What may be imported where: most of the package works without TensorFlow."""

import subprocess
import sys

import pytest

from tests import ROOT

MODULES = (
    "reid_jax.models",
    "reid_jax.models.torch_weights",
    "reid_jax.losses",
    "reid_jax.steps",
    "reid_jax.parallel",
    "reid_jax.clips",
    "reid_jax.runs.embeddings",
    "reid_jax.scoring.scores",
    "reid_jax.runs.checkpoints",
    "reid_jax.retrieval.distances",
    "reid_jax.retrieval.ranking",
    "reid_jax.input.rendered",
    "reid_jax.input.source",
    "data.walkers.stream",
    "reid_jax.retrieval.rerank",
    "reid_jax.retrieval.kissme",
    "reid_jax.retrieval.pairs",
    "reid_jax.retrieval.xqda",
    "data.walkers.world",
    "data.prepare",
    "data.cut_video",
    "data.ilids_vid.index",
    "data.prid2011.index",
    "train",
    "evaluate",
)


def _modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.split())


def test_no_tensorflow():
    loaded = _modules_after("\n".join(f"import {module}" for module in MODULES))
    assert set(MODULES) <= loaded
    assert not {"tensorflow", "tensorflow_datasets", "torch"} & loaded


@pytest.mark.parametrize(
    "module", ["reid_jax.clips", "reid_jax.scoring.color_histogram"]
)
def test_pure_modules_need_no_flax(module):
    assert "flax" not in _modules_after(f"import {module}")
