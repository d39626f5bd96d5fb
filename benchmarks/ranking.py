"""Time of scoring and of searching, on MARS's labels, against NumPy and plain loops.

python benchmarks/ranking.py                        (make bench, under a minute)
python benchmarks/ranking.py --rows=1000000         (a gallery of a million, minutes)
python benchmarks/ranking.py --rows=1000000 --mars  (and re-ranking, XQDA)

Evaluation starts from the same matrix of distances: "loops" goes query by query as
torchreid's Python does, "numpy" sorts and scores the whole matrix at once. The rate of
`top_k` is that of its multiplications, beside the matrix product alone, of the same
blocks; making the blocks is not counted. With faiss-cpu installed, its exact search of
the same rows is timed too.
"""

import argparse
import os
import pathlib
import platform
import resource
import subprocess
import sys
import time

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from data.mars import index
from reid_jax.retrieval import distances, ranking

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_INDEX = _ROOT / "tests" / "golden" / "mars_index"
_BLOCK = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=50_000, help="gallery of top_k")
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--mars", action="store_true", help="rerank.py and xqda.py too")
    args = parser.parse_args()
    device = jax.devices()[0]
    machine = platform.processor() or platform.machine()
    print(
        f"{machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; JAX "
        f"{jax.__version__} on {device.device_kind}"
    )
    labels = _labels()
    query, gallery = (_embeddings(pids, args.dimensions) for pids in labels[:2])
    _evaluation(query, gallery, labels)
    _search(query, args)
    if args.mars:
        for script in (
            ["rerank.py", f"--queries={len(query)}", f"--gallery={len(gallery)}"],
            ["xqda.py", "--samples=8298", f"--dimensions={args.dimensions}"],
        ):
            print(f"\n{' '.join(script)}", flush=True)
            folder = pathlib.Path(__file__).parent
            subprocess.run(
                [sys.executable, folder / script[0], *script[1:]], check=True
            )


def _labels() -> tuple[np.ndarray, ...]:
    """MARS's query pids, gallery pids, query camids and gallery camids."""
    tables = index.read_tables(_INDEX)
    rows = index.split_rows(tables)
    query, gallery = tables.test[rows["query"]], tables.test[rows["gallery"]]
    return query[:, 2], gallery[:, 2], query[:, 3], gallery[:, 3]


def _embeddings(pids: np.ndarray, dimensions: int) -> np.ndarray:
    """Positive and correlated, as a network's; near to others of the person."""
    rng = np.random.default_rng(len(pids))
    persons = np.random.default_rng(0).standard_normal((pids.max() + 2, 64), np.float32)
    latent = persons[pids] + 1.5 * rng.standard_normal((len(pids), 64), np.float32)
    mixing = np.random.default_rng(1).standard_normal((64, dimensions), np.float32)
    return np.maximum(latent @ mixing, 0)


def _evaluation(query, gallery, labels) -> None:
    matrix = distances.l2(query, gallery)
    print(f"\nevaluation of {matrix.shape[0]} x {matrix.shape[1]} distances")
    methods = {
        "loops": _by_loops,
        "numpy": _by_numpy,
        "reid_jax": ranking.evaluate,
    }
    seconds, scores = dict.fromkeys(methods, np.inf), {}
    for number in range(3):
        for name, method in methods.items():
            if name == "loops" and number > 0:  # takes long, and scatters little
                continue
            start = time.perf_counter()
            result = method(matrix, *labels)
            seconds[name] = min(seconds[name], time.perf_counter() - start)
            scores[name] = (
                (result.mean_ap, result.cmc[0]) if name == "reid_jax" else result
            )
    start = time.perf_counter()
    ranking.evaluate_features(query, gallery, *labels)
    features_seconds = time.perf_counter() - start
    print(f"{'':10} {'seconds':>9} {'ratio':>7} {'mAP':>9} {'CMC-1':>9}")
    for name, value in seconds.items():
        ratio = value / seconds["reid_jax"]
        ap, rank1 = scores[name]
        print(f"{name:10} {value:9.3f} {ratio:6.1f}x {ap:9.6f} {rank1:9.6f}")
    print(f"from the embeddings, {query.shape[1]} dimensions: {features_seconds:.2f} s")


def _by_loops(matrix, q_pids, g_pids, q_camids, g_camids) -> tuple[float, float]:
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
        curve = matches.cumsum()
        curve[curve > 1] = 1
        curves.append(curve[:50])
        hits = matches.cumsum()
        precision = [hit / (i + 1.0) for i, hit in enumerate(hits)]
        aps.append((np.asarray(precision) * matches).sum() / matches.sum())
    return float(np.mean(aps)), float(np.mean(curves, axis=0)[0])


def _by_numpy(matrix, q_pids, g_pids, q_camids, g_camids) -> tuple[float, float]:
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


def _search(query, args) -> None:
    multiplications = 2e-9 * len(query) * args.rows * args.dimensions
    print(
        f"\n{len(query)} queries, the {args.k} nearest of {args.rows} x "
        f"{args.dimensions}, in blocks of {_BLOCK}"
    )
    making = [0.0]
    warm = (b for b in _blocks(4 * _BLOCK, args.dimensions, making))
    distances.top_k(query, warm, args.k)
    seconds = {}
    for name, search in {"product alone": _product, "top_k": _top_k}.items():
        making[0] = 0.0
        start = time.perf_counter()
        search(query, _blocks(args.rows, args.dimensions, making), args.k)
        seconds[name] = time.perf_counter() - start - making[0]
    for name, value in seconds.items():
        rate = multiplications / value
        share = seconds["product alone"] / value
        print(f"{name:14} {value:8.2f} s {rate:8.1f} GFLOP/s {100 * share:5.0f} %")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"largest resident memory so far, evaluation included: {peak:.0f} MB")
    try:
        import faiss
    except ImportError:
        return
    searched = faiss.IndexFlatL2(args.dimensions)
    for block in _blocks(args.rows, args.dimensions, making):
        searched.add(block)
    start = time.perf_counter()
    searched.search(query, args.k)
    value = time.perf_counter() - start
    print(f"{'faiss-cpu':14} {value:8.2f} s {multiplications / value:8.1f} GFLOP/s")


def _blocks(num: int, dimensions: int, making: list[float]):
    """Blocks of a gallery; the seconds it takes to make them are added to `making`."""
    rng = np.random.default_rng(0)
    for start in range(0, num, _BLOCK):
        began = time.perf_counter()
        block = rng.random((min(_BLOCK, num - start), dimensions), np.float32)
        making[0] += time.perf_counter() - began
        yield block


def _product(query, blocks, k: int) -> None:
    multiply = jax.jit(
        lambda x, y: jax.lax.dot_general(
            x, y, (((1,), (1,)), ((), ())), precision=jax.lax.Precision.HIGHEST
        )
    )
    query = jax.device_put(query)
    for block in blocks:
        multiply(query, block).block_until_ready()


def _top_k(query, blocks, k: int) -> None:
    distances.top_k(query, blocks, k)


if __name__ == "__main__":
    main()
