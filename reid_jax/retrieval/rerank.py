"""Re-ranking with k-reciprocal encoding (Zhong et al. 2017, arXiv:1701.08398)."""

import functools
from collections.abc import Callable

import numpy as np
import scipy.sparse
from jaxtyping import Float, Int

from reid_jax.arrays import Array
from reid_jax.retrieval import neighbours

_PAIRS = 2**18  # number of shared neighbours compared at a time: bounds the memory


def k_reciprocal(
    query: Float[Array, "Q _"],
    gallery: Float[Array, "G _"],
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float | int = 0.3,
    block: int = 1024,
) -> Float[np.ndarray, "Q G"]:
    """Computes distances that are re-ranked by the overlap of neighbourhoods.

    Neighbours are searched in query and gallery together. Ties are broken by position,
    queries first. The rows are centred and scaled in their precision; distances are
    then computed in float32. In addition to the result, memory grows with (Q +
    G)·(k1·k2 + block).

    Args:
        query: the query embeddings.
        gallery: the gallery embeddings.
        k1: number of nearest neighbours of an entry, without the entry itself.
        k2: number of nearest entries, the entry itself included, whose encodings are
            averaged.
        lambda_value: weight of the original distance: the squared Euclidean distance
            divided by the largest of its row, over query and gallery.
        block: number of rows that are compared at a time; it does not change the
            result.

    Raises:
        ValueError: an empty side, different dimensions, values that are not finite, or
            a setting out of range.
    """
    query, gallery = np.asarray(query), np.asarray(gallery)
    _check_embeddings(query, gallery)
    _check_settings(len(gallery), k1, k2, lambda_value)
    if block < 1:
        raise ValueError(f"block={block} must be at least 1.")
    rows = neighbours.Rows(query, gallery)
    neighbourhoods = neighbours.find(rows, len(query), max(k1 + 1, k2), block=block)
    pair_distances = functools.partial(neighbours.squared_of_pairs, rows, rows)
    return _rerank(neighbourhoods, pair_distances, k1, k2, lambda_value)


def k_reciprocal_of_distances(
    distances: Float[Array, "N _"],
    num_queries: int,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float | int = 0.3,
) -> Float[np.ndarray, "Q G"]:
    """Like `k_reciprocal`, but from a matrix of all distances, such as those of XQDA.

    Args:
        distances: [Q+G, Q+G], between all queries and gallery entries, queries first.
            The published method needs squared distances. They may be negative, as those
            of XQDA can be.
        num_queries: Q.
        k1: as in `k_reciprocal`.
        k2: as in `k_reciprocal`.
        lambda_value: as in `k_reciprocal`.

    Raises:
        ValueError: an empty side, a matrix that is not square, values that are not
            finite, or a setting out of range.
    """
    distances = np.asarray(distances, np.float32)
    num = len(distances)
    if distances.shape != (num, num) or not 0 < num_queries < num:
        raise ValueError(
            f"distances are {distances.shape} with {num_queries} queries: expected "
            "[n, n] of queries and gallery together, neither empty."
        )
    if not np.isfinite(distances).all():
        bad = np.argwhere(~np.isfinite(distances))
        raise ValueError(
            f"{len(bad)} distances are not finite, the first at {tuple(bad[0])}."
        )
    _check_settings(num - num_queries, k1, k2, lambda_value)
    neighbourhoods = neighbours.find_in(distances, num_queries, max(k1 + 1, k2))
    return _rerank(neighbourhoods, lambda i, j: distances[i, j], k1, k2, lambda_value)


def _rerank(
    neighbourhoods: neighbours.Neighbours,
    pair_distances,
    k1: int,
    k2: int,
    lambda_value: float | int,
) -> Float[np.ndarray, "Q G"]:
    """Re-ranks; `pair_distances(i, j)` has the scale of `neighbourhoods`."""
    # d(p, g) of Eq. 1, normalised. If all rows coincide, the scale is 1.
    scale = np.where(neighbourhoods.furthest > 0, neighbourhoods.furthest, 1)[:, None]
    num_queries = len(neighbourhoods.between)
    result = neighbourhoods.between
    result /= scale[:num_queries]
    encoding = _encode(pair_distances, neighbourhoods, scale, k1)
    if k2 > 1:
        # Eq. 11, local query expansion: the mean encoding of the k2 nearest.
        encoding = _lists(neighbourhoods.nearest[:, :k2], np.float32(1 / k2)) @ encoding
    result *= lambda_value
    for start, jaccard in _jaccard(encoding[:num_queries], encoding[num_queries:]):
        # Eq. 12.
        result[start : start + len(jaccard)] += (1 - lambda_value) * jaccard
    return result


def _encode(
    pair_distances: Callable[..., Float[np.ndarray, "_"]],
    neighbourhoods: neighbours.Neighbours,
    scale: Float[np.ndarray, "N 1"],
    k1: int,
) -> scipy.sparse.csr_array:
    """Computes V [n, n]: row p has the weights of p's k-reciprocal neighbours, sum 1.

    0/1 matrices represent sets of neighbours: N[p, g] = 1 if g is in N(p, k).
    """
    nearest = neighbourhoods.nearest
    # Eq. 2 and 3: R(p, k) = {g in N(p, k) with p in N(g, k)}. Both are symmetric.
    reciprocal = _reciprocal(nearest[:, : k1 + 1])
    half = _reciprocal(nearest[:, : round(k1 / 2) + 1])
    # Eq. 4: R*(p, k) adds R(q, k/2) of a neighbour q when R(p, k) holds more than 2/3
    # of it (the paper: at least 2/3; its code: more). |R(p, k) ∩ R(q, k/2)| is the
    # entry [p, q] of the product of the matrices.
    overlap = (reciprocal @ half).multiply(reciprocal).tocsr()
    size = np.diff(half.indptr)
    overlap.data = (3 * overlap.data > 2 * size[overlap.indices]).astype(np.int32)
    overlap.eliminate_zeros()
    members = (reciprocal + overlap @ half).tocsr()
    members.data[:] = 1
    # Eq. 7: exp(-d). As d <= 1, it is at least 1/e, so a stored weight is never 0. The
    # distances of members that are not among the nearest are computed here.
    weights = np.exp(-neighbourhoods.squared / scale)
    near_weights = members.multiply(_lists(nearest, weights)).tocsr()
    far_weights = (members - members.multiply(_lists(nearest, np.int32(1)))).tocoo()
    far_weights.eliminate_zeros()
    rows, columns = far_weights.coords
    far_weights.data = np.exp(-pair_distances(rows, columns) / scale[rows, 0])
    encoding = (near_weights + far_weights).tocsr()
    # A row is empty if more than k1 equal rows precede it: then it is not among its
    # own nearest rows.
    total = np.maximum(encoding.sum(axis=1), np.finfo(np.float32).tiny)
    encoding.data /= np.repeat(total, np.diff(encoding.indptr))
    return encoding.astype(np.float32)


def _lists(nearest: Int[np.ndarray, "N K"], values) -> scipy.sparse.csr_array:
    """Returns the sparse matrix that has `values` at each row's neighbours."""
    num, k = nearest.shape
    data = np.broadcast_to(values, nearest.shape).flatten()
    indptr = np.arange(0, num * k + 1, k)
    matrix = scipy.sparse.csr_array((data, nearest.flatten(), indptr), (num, num))
    matrix.sort_indices()  # in place, on copies
    return matrix


def _reciprocal(nearest: Int[np.ndarray, "N K"]) -> scipy.sparse.csr_array:
    lists = _lists(nearest, np.int32(1))
    return lists.multiply(lists.T.tocsr()).tocsr()


def _jaccard(query: scipy.sparse.csr_array, gallery: scipy.sparse.csr_array):
    """Yields (first query, Jaccard distances [queries, G]) for blocks of queries.

    Eq. 10: 1 - Σ min(V_p, V_g) / Σ max(V_p, V_g). Rows of V sum to 1, so that the sum
    of the maxima is 2 minus the sum of the minima. Only entries that both rows have add
    to the sum of the minima, so each entry of a query needs one column of the gallery.
    """
    num_gallery = gallery.shape[0]
    column = gallery.T.tocsr()
    lengths = np.diff(column.indptr)
    entries_before = np.concatenate([[0], np.cumsum(lengths[query.indices])])
    pairs_before = entries_before[query.indptr] + num_gallery * np.arange(
        query.shape[0] + 1
    )
    start = 0
    while start < query.shape[0]:
        end = np.searchsorted(pairs_before, pairs_before[start] + _PAIRS, "right") - 1
        end = max(int(end), start + 1)
        entries = slice(query.indptr[start], query.indptr[end])
        repeats = lengths[query.indices[entries]]
        # Positions in `column` of all (entry of a query, gallery row with that entry).
        first = column.indptr[query.indices[entries]] - (
            entries_before[entries] - entries_before[entries.start]
        )
        position = np.repeat(first, repeats) + np.arange(repeats.sum())
        row = np.repeat(np.arange(end - start), np.diff(query.indptr[start : end + 1]))
        cell = np.repeat(row * num_gallery, repeats) + column.indices[position]
        minimum = np.minimum(
            np.repeat(query.data[entries], repeats), column.data[position]
        )
        shared = np.bincount(cell, minimum, (end - start) * num_gallery)
        shared = shared.reshape(end - start, num_gallery)
        yield start, 1 - shared / (2 - shared)
        start = end


def _check_embeddings(query: np.ndarray, gallery: np.ndarray) -> None:
    if 0 in (len(query), len(gallery)):
        raise ValueError(
            f"{len(query)} queries and {len(gallery)} gallery entries: neither may be "
            "empty."
        )
    if query.shape[1:] != gallery.shape[1:]:
        raise ValueError(
            f"queries have {query.shape[1]} dimensions, gallery entries "
            f"{gallery.shape[1]}: they must come from the same network."
        )
    for name, side in (("query", query), ("gallery", gallery)):
        bad = np.flatnonzero(~np.isfinite(side).all(axis=1))
        if len(bad):
            raise ValueError(
                f"{len(bad)} {name} embeddings hold values that are not finite, the "
                f"first at {bad[0]}."
            )


def _check_settings(
    num_gallery: int, k1: int, k2: int, lambda_value: float | int
) -> None:
    for name, k in (("k1", k1), ("k2", k2)):
        if not 1 <= k <= num_gallery:
            raise ValueError(
                f"{name}={k} must be from 1 to {num_gallery}, the number of gallery "
                "entries."
            )
    if not 0 <= lambda_value <= 1:
        raise ValueError(f"lambda_value={lambda_value} must be from 0 to 1.")
