"""Time and memory of re-ranking, against the published algorithm written out in loops.

python benchmarks/rerank.py                                    (make bench, seconds)
python benchmarks/rerank.py --queries=1980 --gallery=9330      (MARS, minutes)

Both start from the same embeddings, each in a process of its own: seconds of the call
and of all its threads together (compilation and the distances included), and the
largest resident memory of the process (interpreter and libraries included), medians of
--rounds and their spread; a ratio is that of each round. The loops keep what the
published code keeps: all distances, all orders and the encodings, each as a full
matrix.
"""

import functools
import multiprocessing
import pathlib
import sys
import time
from collections.abc import Callable
from concurrent import futures

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring

_K1, _K2, _LAMBDA = 20, 6, 0.3
_DIMENSIONS = 2048


def main() -> None:
    parser = measuring.parser(__doc__, rounds=3)
    parser.add_argument("--queries", type=measuring.at_least(1), default=300)
    parser.add_argument("--gallery", type=measuring.at_least(_K1 + 1), default=1700)
    args = parser.parse_args()
    machine = measuring.begin(args)
    rows, distances = {name: [] for name in METHODS}, {}
    for _ in range(args.rounds):
        for name, measured in rows.items():
            row, distances[name] = _alone(name, args.queries, args.gallery)
            measured.append(row)
    sizes = f"{args.queries} queries, {args.gallery} gallery entries"
    print(f"{sizes}, {_DIMENSIONS} dimensions")
    print(f"{'':9}{'reid_jax':>13}{'loops':>18}{'ratio':>17}")
    results = {}
    columns = (zip(*rows[name], strict=True) for name in METHODS)
    for name, ours, loops in zip(
        ("seconds", "CPU s", "peak MB"), *columns, strict=True
    ):
        row = {"reid_jax": measuring.figure(ours), "loops": measuring.figure(loops)}
        results[name] = row | {"ratio": measuring.ratio(loops, ours)}
        cells = " ".join(f"{figure:9.2f}" for figure in results[name].values())
        print(f"{name:8} {cells}")
    results["difference"] = float(abs(distances["reid_jax"] - distances["loops"]).max())
    print(f"largest difference of the distances: {results['difference']:.1e}")
    measuring.print_json(machine, results)


def _alone(name: str, queries: int, gallery: int):
    """Runs `measure` in a new process and returns its result."""
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(measure, name, queries, gallery).result()


def measure(name: str, num_queries: int, num_gallery: int):
    """Seconds, seconds of all threads, largest memory in MB; and the distances."""
    embeddings = _embeddings(num_queries + num_gallery)
    method = METHODS[name]()
    start, cpu_start = time.perf_counter(), time.process_time()
    distances = method(embeddings[:num_queries], embeddings[num_queries:])
    row = time.perf_counter() - start, time.process_time() - cpu_start
    return (*row, measuring.megabytes("VmHWM")), distances


def _embeddings(num: int) -> np.ndarray:
    """Positive and correlated, as a network's: about 15 tracklets of each person."""
    rng = np.random.default_rng(0)
    persons = rng.standard_normal((max(num // 15, 2), 64), np.float32)
    latent = persons[rng.integers(len(persons), size=num)]
    latent = latent + 0.8 * rng.standard_normal((num, 64), np.float32)
    mixing = rng.standard_normal((64, _DIMENSIONS), np.float32)
    embeddings = latent @ mixing
    return np.maximum(embeddings, 0, out=embeddings)


def _ours() -> Callable:
    from reid_jax.retrieval import rerank  # JAX stays out of the loops' process

    settings = {"k1": _K1, "k2": _K2, "lambda_value": _LAMBDA}
    return functools.partial(rerank.k_reciprocal, **settings)


def _by_loops(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """The algorithm entry by entry on full float32 matrices."""
    num_queries, num = len(query), len(query) + len(gallery)
    between, within = _euclidean(query, gallery), _euclidean(gallery, gallery)
    distances = np.block([[_euclidean(query, query), between], [between.T, within]])
    del between, within
    distances = distances**2
    distances = (distances / distances.max(axis=0)).T
    order = np.argsort(distances).astype(np.int32)
    encoding = np.zeros_like(distances)
    for entry in range(num):
        members = neighbours = _reciprocal(order, entry, _K1)
        for neighbour in neighbours:
            others = _reciprocal(order, neighbour, round(_K1 / 2))
            shared = np.intersect1d(others, neighbours)
            if len(shared) > 2 / 3 * len(others):
                members = np.append(members, others)
        members = np.unique(members)
        weights = np.exp(-distances[entry, members])
        encoding[entry, members] = weights / weights.sum()
    distances = distances[:num_queries]
    expanded = np.zeros_like(encoding)
    for entry in range(num):
        expanded[entry] = encoding[order[entry, :_K2]].mean(axis=0)
    encoding = expanded
    del expanded, order
    having = [np.flatnonzero(encoding[:, entry]) for entry in range(num)]
    jaccard = np.zeros_like(distances)
    for entry in range(num_queries):
        shared = np.zeros(num, np.float32)
        for member in np.flatnonzero(encoding[entry]):
            rows = having[member]
            shared[rows] += np.minimum(encoding[entry, member], encoding[rows, member])
        jaccard[entry] = 1 - shared / (2 - shared)
    final = jaccard * (1 - _LAMBDA) + distances * _LAMBDA
    return final[:, num_queries:]


def _euclidean(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T
    return np.sqrt(np.maximum(squared, 0))


def _reciprocal(order: np.ndarray, entry: int, k: int) -> np.ndarray:
    forward = order[entry, : k + 1]
    backward = order[forward, : k + 1]
    return forward[(backward == entry).any(axis=1)]


METHODS = {"reid_jax": _ours, "loops": lambda: _by_loops}

if __name__ == "__main__":
    main()
