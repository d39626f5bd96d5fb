"""The two sides of a benchmark compute the same: else their times say nothing."""

import subprocess
import sys

import numpy as np
import pytest

from benchmarks import all as every
from benchmarks import input as input_benchmark
from benchmarks import ranking, rerank, walkers, xqda
from configs import pool_avg
from reid_jax.retrieval import xqda as our_xqda
from tests import hand_made


def test_rankings_score_alike():
    rng = np.random.default_rng(0)
    matrix = rng.random((30, 80), np.float32)
    labels = [rng.integers(9, size=num) for num in (30, 80)]
    labels += [rng.integers(3, size=num) for num in (30, 80)]
    ours = ranking.by_ours(matrix, *labels)
    assert min(ours) > 0.05 and max(ours) < 0.5
    for other in (ranking.by_numpy, ranking.by_loops):
        assert other(matrix, *labels) == pytest.approx(ours, abs=1e-6)


def test_re_rankings_are_alike():
    found = [rerank.measure(name, 20, 90) for name in rerank.METHODS]
    (ours_row, ours), (loops_row, loops) = found
    assert ours.shape == (20, 90) and np.ptp(loops) > 0.3
    np.testing.assert_allclose(ours, loops, rtol=0, atol=2e-6)
    assert len(ours_row) == len(loops_row) == 3 and min(ours_row + loops_row) > 0


def test_xqda_is_alike():
    views = xqda.make_views(300, 24)
    names = ("svd", "numpy", "plain")
    models = [xqda.METHODS[n](*views, regularizer=1e-3) for n in names]
    ours, *others = (our_xqda.distances(m, views[0], views[2]) for m in models)
    assert len({model.metric.shape for model in models}) == 1
    for other in others:
        np.testing.assert_allclose(ours, other, rtol=1e-9, atol=1e-9 * abs(other).max())


@pytest.mark.slow
def test_stages_of_the_input_decode_the_same_frames(tmp_path):
    config = pool_avg.get_config()
    config.data.update(p=2, k=2)
    config.model.update(clip_length=3, frame_size=(40, 20))
    split = hand_made.five_persons(tmp_path)
    firsts = {}
    for name, batches in input_benchmark.build_stages(split, config).items():
        firsts[name] = next(batches)
        batches.close()
    decoded = firsts["bare decoding"]
    assert decoded.shape == (2 * 2 * 3, 40, 20, 3) and len(np.unique(decoded)) > 4
    np.testing.assert_array_equal(firsts["host part"], decoded)
    shown, resident = (firsts[n]["clips"] for n in ("batches", "batches, cache=device"))
    np.testing.assert_array_equal(shown.reshape(decoded.shape), decoded)  # flat frames
    np.testing.assert_array_equal(resident, shown)


def test_without_pytorch_networks_says_so(tmp_path):
    # A `torch` that cannot be found, whether or not it is installed.
    hide = (
        "import importlib.util as util, runpy, sys; find = util.find_spec; "
        "util.find_spec = lambda n, *a: None if n == 'torch' else find(n, *a); "
        "runpy.run_path(sys.argv[1], run_name='__main__')"
    )
    script = every.ROOT / "benchmarks" / "networks.py"
    command = [sys.executable, "-c", hide, str(script)]
    child = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert child.returncode == 1
    assert child.stderr.strip().endswith("compares with PyTorch: pip install torch")
    assert "Traceback" not in child.stderr


def test_lags_of_walkers_see_motion_alone():
    rng = np.random.default_rng(0)
    still = np.repeat(rng.integers(256, size=(1, 8, 4, 3)), 16, axis=0)
    assert not walkers._lags(still[:4], 8).any()
    period = 4
    swinging = (
        still + 20 * np.sin(2 * np.pi * np.arange(16) / period)[:, None, None, None]
    )
    lags = walkers._lags(swinging, 8)
    assert lags.argmin() + 1 in (period, 2 * period)
    assert np.linalg.norm(lags) == pytest.approx(1)
