"""Time of scoring and of searching, on MARS's labels, against NumPy and plain loops.

python benchmarks/ranking.py                             (make bench has fewer rows)
python benchmarks/ranking.py --rows=1000000 --rounds=1   (a million, minutes)

Evaluation starts from the same matrix of distances: "loops" goes query by query as
torchreid's Python does (a tenth of them), "numpy" sorts and scores the whole matrix at
once. The rate of `top_k` is that of its multiplications, beside the matrix product
alone, of the same blocks; making the blocks is not counted. With faiss-cpu installed,
its exact search of the same rows is timed too. Medians of --rounds and their spread; a
ratio is that of each round.
"""

import functools
import importlib.util
import pathlib
import sys
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from data.mars import index
from reid_jax.retrieval import distances, ranking

_INDEX = pathlib.Path(__file__).resolve().parents[1] / "tests/golden/mars_index"
_DIMENSIONS = 2048
_BLOCK = 8192
_K = 50


def main() -> None:
    parser = measuring.parser(__doc__, rounds=3)
    rows = measuring.at_least(_K)
    parser.add_argument("--rows", type=rows, default=50_000, help="of top_k")
    args = parser.parse_args()
    machine = measuring.begin(args)
    labels = _labels()
    query, gallery = (_embeddings(pids) for pids in labels[:2])
    results = {"evaluation": _evaluation(query, gallery, labels, args.rounds)}
    results["search"] = _search(query, args.rows, args.rounds)
    measuring.print_json(machine, results)


def _labels() -> tuple[np.ndarray, ...]:
    """MARS's query pids, gallery pids, query camids and gallery camids."""
    tables = index.read_tables(_INDEX)
    rows = index.split_rows(tables)
    query, gallery = tables.test[rows["query"]], tables.test[rows["gallery"]]
    return query[:, 2], gallery[:, 2], query[:, 3], gallery[:, 3]


def _embeddings(pids: np.ndarray) -> np.ndarray:
    """Positive and correlated, as a network's; near to others of the person."""
    rng = np.random.default_rng(len(pids))
    persons = np.random.default_rng(0).standard_normal((pids.max() + 2, 64), np.float32)
    latent = persons[pids] + 1.5 * rng.standard_normal((len(pids), 64), np.float32)
    mixing = np.random.default_rng(1).standard_normal((64, _DIMENSIONS), np.float32)
    return np.maximum(latent @ mixing, 0)


def _evaluation(query, gallery, labels, rounds: int) -> dict[str, dict]:
    matrix = distances.l2(query, gallery)
    num, part = len(query), len(query) // 10
    q_pids, g_pids, q_camids, g_camids = labels
    some = matrix[:part], q_pids[:part], g_pids, q_camids[:part], g_camids

    def from_the_embeddings() -> int:
        ranking.evaluate(distances.l2(query, gallery), *labels)
        return num

    print(f"\nevaluation of {num} x {len(gallery)} distances")
    makes = {
        "reid_jax": lambda: by_ours(matrix, *labels) and num,
        "from the embeddings": from_the_embeddings,
        "numpy": lambda: by_numpy(matrix, *labels) and num,
        "loops": lambda: by_loops(*some) and part,
    }
    measures = {name: measuring.rate(make) for name, make in makes.items()}
    found = measuring.in_turn(measures, rounds)
    results = measuring.compare(found, "loops", "queries/s")
    scores = [by(*some) for by in (by_ours, by_numpy, by_loops)]
    away = float(np.ptp(scores, axis=0).max())
    print(f"largest difference of mAP and CMC-1: {away:.0e}")
    return results | {"difference": away}


def by_ours(*arguments) -> tuple[float, float]:
    """mAP and CMC-1, as the two below."""
    found = ranking.evaluate(*arguments)
    return found.mean_ap, float(found.cmc[0])


def by_loops(matrix, q_pids, g_pids, q_camids, g_camids) -> tuple[float, float]:
    """Sorts the matrix, then scores query by query, as torchreid's Python does."""
    order = np.argsort(matrix, axis=1)
    is_match = (g_pids[order] == q_pids[:, None]).astype(np.int32)
    curves, aps = [], []
    for q in range(len(q_pids)):
        ranked = order[q]
        removed = (g_pids[ranked] == q_pids[q]) & (g_camids[ranked] == q_camids[q])
        matches = is_match[q][~removed]
        if not matches.any():
            continue
        hits = matches.cumsum()
        curves.append(np.minimum(hits, 1)[:50])
        precision = [hit / (i + 1.0) for i, hit in enumerate(hits)]
        aps.append((np.asarray(precision) * matches).sum() / matches.sum())
    return float(np.mean(aps)), float(np.mean([curve[0] for curve in curves]))


def by_numpy(matrix, q_pids, g_pids, q_camids, g_camids) -> tuple[float, float]:
    """Sorts and scores the whole matrix at once."""
    order = np.argsort(matrix, axis=1)
    is_own = g_pids[order] == q_pids[:, None]
    removed = is_own & (g_camids[order] == q_camids[:, None])
    matches = is_own & ~removed
    rank = np.cumsum(~removed, axis=1, dtype=np.int32)
    hits = np.cumsum(matches, axis=1, dtype=np.int32)
    num = hits[:, -1]
    valid = num > 0
    precision = np.where(matches, hits / np.maximum(rank, 1), 0).sum(axis=1)
    first = (matches & (rank == 1)).any(axis=1)
    return float((precision[valid] / num[valid]).mean()), float(first[valid].mean())


def _search(query, num_rows: int, rounds: int) -> dict[str, dict]:
    multiplications = 2e-9 * len(query) * num_rows * _DIMENSIONS
    shape = f"{num_rows} x {_DIMENSIONS}, in blocks of {_BLOCK}"
    print(f"\n{len(query)} queries, the {_K} nearest of {shape}")

    def search(method: Callable) -> float:
        making = []
        blocks = _blocks(num_rows, making)
        return measuring.seconds(lambda: method(query, blocks, _K)) - sum(making)

    measures = {
        "product alone": functools.partial(search, _product),
        "top_k": functools.partial(search, distances.top_k),
    }
    if importlib.util.find_spec("faiss"):
        measures["faiss-cpu"] = _faiss(query, _blocks(num_rows, []))
    found = measuring.in_turn(measures, rounds)
    rates = {
        name: [multiplications / t for t in times] for name, times in found.items()
    }
    results = measuring.compare(rates, "product alone", "GFLOP/s")
    results["megabytes"] = peak = measuring.megabytes("VmHWM")
    print(f"largest resident memory, evaluation included: {peak:.0f} MB")
    return results


def _blocks(num: int, making: list[float]) -> Iterator[np.ndarray]:
    """Blocks of a gallery; the seconds that each took to make are added to `making`."""
    rng = np.random.default_rng(0)
    for start in range(0, num, _BLOCK):
        began = time.perf_counter()
        block = rng.random((min(_BLOCK, num - start), _DIMENSIONS), np.float32)
        making.append(time.perf_counter() - began)
        yield block


@jax.jit
def _multiply(x, y):
    axes = ((1,), (1,)), ((), ())
    return jax.lax.dot_general(x, y, axes, precision=jax.lax.Precision.HIGHEST)


def _product(query, blocks, k: int) -> None:
    query = jax.device_put(query)
    for block in blocks:
        _multiply(query, block).block_until_ready()


def _faiss(query, blocks) -> Callable[[], float]:
    import faiss

    searched = faiss.IndexFlatL2(query.shape[1])
    for block in blocks:
        searched.add(block)
    return lambda: measuring.seconds(lambda: searched.search(query, _K))


if __name__ == "__main__":
    main()
