"""Time of scoring and of searching, on MARS's labels, against NumPy and plain loops.

python benchmarks/ranking.py                        (make bench has fewer rows)
python benchmarks/ranking.py --rows=1000000 --rounds=1         (a million, minutes)
python benchmarks/ranking.py --rows=1000000 --rounds=1 --mars  (and re-ranking, XQDA)

Evaluation starts from the same matrix of distances: "loops" goes query by query as
torchreid's Python does, "numpy" sorts and scores the whole matrix at once. The rate of
`top_k` is that of its multiplications, beside the matrix product alone, of the same
blocks; making the blocks is not counted. With faiss-cpu installed, its exact search of
the same rows is timed too. Medians of --rounds ("loops": one) and their spread.
"""

import argparse
import functools
import importlib.util
import pathlib
import resource
import subprocess
import sys
import time

import jax
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from data.mars import index
from reid_jax.retrieval import distances, ranking

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_INDEX = _ROOT / "tests" / "golden" / "mars_index"
_BLOCK = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    positive = measuring.at_least(1)
    parser.add_argument("--dimensions", type=positive, default=2048)
    parser.add_argument("--rows", type=positive, default=50_000, help="of top_k")
    parser.add_argument("--k", type=positive, default=50)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--mars", action="store_true", help="rerank.py and xqda.py too")
    args = parser.parse_args()
    machine = measuring.begin(args)
    labels = _labels()
    query, gallery = (_embeddings(pids, args.dimensions) for pids in labels[:2])
    results = {"evaluation": _evaluation(query, gallery, labels, args.rounds)}
    results["search"] = _search(query, args)
    measuring.print_json(machine, results)
    if args.mars:
        for script in (
            ["rerank.py", f"--queries={len(query)}", f"--gallery={len(gallery)}"],
            ["xqda.py", "--samples=8298", f"--dimensions={args.dimensions}"],
        ):
            print(f"\n{' '.join(script)}", flush=True)
            folder = pathlib.Path(__file__).parent
            command = [sys.executable, folder / script[0], *script[1:]]
            subprocess.run([*command, f"--rounds={args.rounds}"], check=True)


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


def _evaluation(query, gallery, labels, rounds: int) -> dict[str, dict]:
    matrix = distances.l2(query, gallery)
    print(f"\nevaluation of {matrix.shape[0]} x {matrix.shape[1]} distances")
    scores = {}

    def score(name: str, method) -> float:
        def run() -> None:
            scores[name] = method(matrix, *labels)

        return measuring.seconds(run)

    methods = {"numpy": _by_numpy, "reid_jax": _by_ours}
    measures = {n: functools.partial(score, n, m) for n, m in methods.items()}
    measures["from the embeddings"] = lambda: measuring.seconds(
        lambda: ranking.evaluate(distances.l2(query, gallery), *labels)
    )
    found = measuring.in_turn(measures, rounds)
    found["loops"] = [score("loops", _by_loops)]  # takes long, scatters little
    print(f"{'':20}{'seconds':>11}{'times ours':>20}{'mAP':>11}{'CMC-1':>10}")
    results = {}
    for name in ("loops", *measures):
        middle = measuring.figure(found[name])
        ours = found["reid_jax"]
        if name == "loops":
            ours = [measuring.figure(ours).median]
        ratio = measuring.ratio(found[name], ours)
        results[name] = {"seconds": middle, "ratio": ratio}
        said = "".join(f"{value:10.6f}" for value in scores.get(name, ()))
        if said:
            results[name]["map"], results[name]["rank1"] = map(float, scores[name])
        print(f"{name:20} {middle:8.3f} {ratio:10.1f} {said}")
    return results


def _by_ours(*arguments) -> tuple[float, float]:
    found = ranking.evaluate(*arguments)
    return found.mean_ap, found.cmc[0]


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


def _search(query, args) -> dict[str, dict]:
    multiplications = 2e-9 * len(query) * args.rows * args.dimensions
    print(
        f"\n{len(query)} queries, the {args.k} nearest of {args.rows} x "
        f"{args.dimensions}, in blocks of {_BLOCK}"
    )
    making = [0.0]
    distances.top_k(query, _blocks(4 * _BLOCK, args.dimensions, making), args.k)

    def search(method) -> float:
        making[0] = 0.0
        blocks = _blocks(args.rows, args.dimensions, making)
        return measuring.seconds(lambda: method(query, blocks, args.k)) - making[0]

    measures = {
        "product alone": functools.partial(search, _product),
        "top_k": functools.partial(search, distances.top_k),
    }
    if importlib.util.find_spec("faiss"):
        rows = _blocks(args.rows, args.dimensions, making)
        measures["faiss-cpu"] = _faiss(query, rows, args.k)
    found = measuring.in_turn(measures, args.rounds)
    results = {}
    for name, times in found.items():
        rate = measuring.figure(multiplications / t for t in times)
        share = measuring.ratio(found["product alone"], times)
        results[name] = {"seconds": measuring.figure(times), "ratio": share}
        print(f"{name:14} {rate:8.1f} GFLOP/s {share:7.2f} of the product's rate")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"largest resident memory so far, evaluation included: {peak:.0f} MB")
    return results | {"megabytes": peak}


def _faiss(query, blocks, k: int):
    import faiss

    searched = faiss.IndexFlatL2(query.shape[1])
    for block in blocks:
        searched.add(block)
    return lambda: measuring.seconds(lambda: searched.search(query, k))


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


if __name__ == "__main__":
    main()
