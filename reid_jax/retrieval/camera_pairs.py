"""Which camera's queries find their person under which other camera."""

import dataclasses

import numpy as np
from jaxtyping import Integer, Real

from reid_jax.arrays import Array
from reid_jax.retrieval import places, ranking


@dataclasses.dataclass(frozen=True)
class CameraPairs:
    """Scores by the query's camera (row) and the right match's camera (column).

    - `camids` [C]: of query or gallery, ascending.
    - `rank1`, `mean_ap` [C, C]: means over the queries of that camera that have a right
      match under the other, nan where there is none; so the diagonal is nan.
    - `num_queries` [C, C]: how many those are.
    """

    camids: np.ndarray
    rank1: np.ndarray
    mean_ap: np.ndarray
    num_queries: np.ndarray


def camera_pairs(
    distances: Real[Array, "Q G"],
    query_pids: Integer[Array, "_"],
    gallery_pids: Integer[Array, "_"],
    query_camids: Integer[Array, "_"],
    gallery_camids: Integer[Array, "_"],
    *,
    ap: str = "step",
) -> CameraPairs:
    """Scores of a ranking for each pair of cameras, as MARS's own script has them.

    For each query and each camera only the right matches under that camera count; those
    under others are taken out, as junk is, while wrong entries of all cameras stay.
    Arguments and errors as `ranking.evaluate`.
    """
    labels = ranking.as_labels(query_pids, gallery_pids, query_camids, gallery_camids)
    ranking.check_ap_rule(ap)
    camids = np.union1d(query_camids, gallery_camids)
    num = len(camids)
    own_person = places.OwnPerson(labels.query_pids, labels.gallery_pids)
    scores = np.full((2, len(labels.query_pids), num), np.nan)
    for rows, block in ranking.matrix_blocks(distances, labels):
        found = own_person.places(rows, block)
        camera = labels.gallery_camids[found.entry]
        is_right = camera != labels.query_camids[found.query]
        group = np.where(is_right, (found.query - rows.start) * num + camera, -1)
        of_groups = ranking.score_groups(
            found, group, (rows.stop - rows.start) * num, ap
        )
        scores[0, rows] = of_groups.ap.reshape(-1, num)
        is_first = np.where(np.isnan(of_groups.ap), np.nan, of_groups.first_rank == 1)
        scores[1, rows] = is_first.reshape(-1, num)
    has_match = ~np.isnan(scores[0])
    # One row for each camera, with a 1 for its queries.
    of_camera = (labels.query_camids == np.arange(num)[:, None]).astype(float)
    num_queries = of_camera @ has_match
    with np.errstate(invalid="ignore"):  # 0 / 0: no query
        mean_ap, rank1 = (of_camera @ np.nan_to_num(s) / num_queries for s in scores)
    return CameraPairs(camids, rank1, mean_ap, num_queries.astype(int))
