"""reid_jax/retrieval/camera_pairs.py, against one ranking for each pair."""

import numpy as np
import pytest

from reid_jax.retrieval import camera_pairs, match_ranks, ranking


def _problem(seed=0, num_cameras=3):
    rng = np.random.default_rng(seed)
    distances = rng.random((40, 200))
    q_pids, g_pids = rng.integers(1, 12, 40), rng.integers(-1, 12, 200)
    # Camera 7 has gallery entries only.
    q_camids = 5 * rng.integers(0, num_cameras, 40)
    g_camids = np.append(5 * rng.integers(0, num_cameras, 199), 7)
    return distances, q_pids, g_pids, q_camids, g_camids


@pytest.mark.parametrize("ap", ranking.AP_RULES)
def test_one_pair_is_the_ranking_without_other_right_matches(ap):
    distances, q_pids, g_pids, q_camids, g_camids = _problem()
    result = ranking.evaluate(distances, q_pids, g_pids, q_camids, g_camids)
    found = camera_pairs.camera_pairs(result, q_camids, g_camids, ap=ap)
    assert found.camids.tolist() == [0, 5, 7, 10]
    for i, a in enumerate(found.camids):
        for j, b in enumerate(found.camids):
            results = []
            for q in np.flatnonzero(q_camids == a):
                is_kept = (g_pids != q_pids[q]) | ((g_camids == b) & (a != b))
                try:
                    results.append(
                        ranking.evaluate(
                            distances[q : q + 1],
                            q_pids[q : q + 1],
                            np.where(is_kept, g_pids, match_ranks.JUNK_PID),
                            q_camids[q : q + 1],
                            g_camids,
                            ap=ap,
                        )
                    )
                except ValueError:  # no right match under this camera
                    continue
            assert found.num_queries[i, j] == len(results)
            if not results:
                assert np.isnan(found.mean_ap[i, j]) and np.isnan(found.rank1[i, j])
                continue
            mean_ap = np.mean([r.mean_ap for r in results])
            np.testing.assert_allclose(found.mean_ap[i, j], mean_ap)
            np.testing.assert_allclose(
                found.rank1[i, j], np.mean([r.cmc[0] for r in results])
            )


def test_two_cameras_have_the_scores_of_the_ranking():
    problem = _problem(num_cameras=2)
    result = ranking.evaluate(*problem)
    found = camera_pairs.camera_pairs(result, *problem[3:])
    counted = np.nansum(found.mean_ap * found.num_queries) / found.num_queries.sum()
    # Camera 7 has one entry only, a right match of few.
    np.testing.assert_allclose(counted, result.mean_ap, atol=0.05)
    assert found.num_queries[:2, :2].sum() == result.num_valid


def test_unknown_rule():
    problem = _problem()
    with pytest.raises(ValueError, match="known: step, trapezoid"):
        camera_pairs.camera_pairs(ranking.evaluate(*problem), *problem[3:], ap="area")
