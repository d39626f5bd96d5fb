"""Scores for each pair of a query camera and a gallery camera."""

import dataclasses

import numpy as np
from jaxtyping import Integer

from reid_jax.arrays import Array
from reid_jax.retrieval import match_ranks, ranking


@dataclasses.dataclass(frozen=True)
class CameraPairs:
    """Scores by the query's camera (row) and the right match's camera (column).

    - `camids` [C]: all camids of query and gallery, ascending.
    - `rank1`, `mean_ap` [C, C]: means in [0, 1] over the row camera's queries that have
      a right match under the column camera; nan if there is no such query. The diagonal
      is always nan.
    - `num_queries` [C, C]: number of queries in each mean.
    """

    camids: np.ndarray
    rank1: np.ndarray
    mean_ap: np.ndarray
    num_queries: np.ndarray


def camera_pairs(
    result: ranking.Ranking,
    query_camids: Integer[Array, "Q"],
    gallery_camids: Integer[Array, "G"],
    *,
    ap: str = "step",
) -> CameraPairs:
    """Scores a ranking for each pair of cameras, as MARS's evaluation script does.

    For a query and a camera, only the right matches under that camera count. Right
    matches under other cameras are removed, like junk. Wrong entries of all cameras
    stay.

    Args:
        result: the ranking, from `ranking.evaluate`.
        query_camids: the camids that `result` was evaluated with.
        gallery_camids: the camids that `result` was evaluated with.
        ap: "step" or "trapezoid", as in `ranking.evaluate`.
    """
    camids = np.union1d(query_camids, gallery_camids)
    num = len(camids)
    query_cameras, gallery_cameras = match_ranks.same_codes(
        query_camids, gallery_camids
    )
    matches = result.matches
    match_cameras = gallery_cameras[matches.entry]
    group = np.where(
        match_cameras != query_cameras[matches.query],
        matches.query * num + match_cameras,
        -1,
    )
    group_scores = ranking.score_groups(matches, group, len(query_cameras) * num, ap)
    is_first = np.where(np.isnan(group_scores.ap), np.nan, group_scores.first_rank == 1)
    scores = np.stack([group_scores.ap, is_first]).reshape(2, -1, num)
    has_match = ~np.isnan(scores[0])
    # One row for each camera, with a 1 for its queries.
    is_of_camera = (query_cameras == np.arange(num)[:, None]).astype(float)
    num_queries = is_of_camera @ has_match
    with np.errstate(invalid="ignore"):  # 0 / 0: no query has a match
        mean_ap, rank1 = (is_of_camera @ np.nan_to_num(s) / num_queries for s in scores)
    return CameraPairs(camids, rank1, mean_ap, num_queries.astype(int))
