"""Which camera's queries find their person under which other camera."""

import dataclasses

import numpy as np
from jaxtyping import Integer

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
    result: ranking.Ranking,
    query_camids: Integer[Array, "Q"],
    gallery_camids: Integer[Array, "G"],
    *,
    ap: str = "step",
) -> CameraPairs:
    """Scores of a ranking for each pair of cameras, as MARS's own script has them.

    For each query and each camera only the right matches under that camera count; those
    under others are taken out, as junk is, while wrong entries of all cameras stay.
    The camids are those that `result` was evaluated with; `ap` as there.
    """
    camids = np.union1d(query_camids, gallery_camids)
    num = len(camids)
    of_query, of_gallery = places.same_codes(query_camids, gallery_camids)
    found = result.found
    camera = of_gallery[found.entry]
    group = np.where(camera != of_query[found.query], found.query * num + camera, -1)
    of_groups = ranking.score_groups(found, group, len(of_query) * num, ap)
    is_first = np.where(np.isnan(of_groups.ap), np.nan, of_groups.first_rank == 1)
    scores = np.stack([of_groups.ap, is_first]).reshape(2, -1, num)
    has_match = ~np.isnan(scores[0])
    # One row for each camera, with a 1 for its queries.
    of_camera = (of_query == np.arange(num)[:, None]).astype(float)
    num_queries = of_camera @ has_match
    with np.errstate(invalid="ignore"):  # 0 / 0: no query
        mean_ap, rank1 = (of_camera @ np.nan_to_num(s) / num_queries for s in scores)
    return CameraPairs(camids, rank1, mean_ap, num_queries.astype(int))
