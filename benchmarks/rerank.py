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

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring

K1, K2, LAMBDA = 20, 6, 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    positive, several = measuring.at_least(1), measuring.at_least(K1 + 1)
    parser.add_argument("--queries", type=positive, default=300)
    parser.add_argument("--gallery", type=several, default=1700)
    parser.add_argument("--dimensions", type=positive, default=2048)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--measure", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        _measure(args)
        return
    machine = measuring.begin(args)
    rows = {name: [] for name in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        # NumPy and JAX stay out of this process: Linux counts the memory of the parent
        # at the time of the fork towards the child's.
        for _ in range(args.rounds):
            for name, measured in rows.items():
                output = os.path.join(folder, f"{name}.npy")
                command = [sys.executable, *sys.argv, f"--measure={name}"]
                child = subprocess.run(
                    [*command, f"--output={output}"], capture_output=True, text=True
                )
                if child.returncode:
                    sys.exit(child.stderr)
                measured.append([float(x) for x in child.stdout.split()])
        import numpy as np

        ours, loops = (np.load(os.path.join(folder, f"{x}.npy")) for x in METHODS)
    print(
        f"{args.queries} queries, {args.gallery} gallery entries, {args.dimensions} "
        "dimensions"
    )
    results = _print_table(rows)
    results["difference"] = float(abs(ours - loops).max())
    print(f"largest difference of the distances: {results['difference']:.1e}")
    measuring.print_json(machine, results)


def _print_table(rows: dict[str, list[list[float]]]) -> dict[str, dict]:
    """Prints and returns seconds, CPU seconds and peak memory, and loops' to ours."""
    results = {}
    print(f"{'':9}{'reid_jax':>13}{'loops':>18}{'ratio':>17}")
    columns = (zip(*rows[name], strict=True) for name in ("reid_jax", "loops"))
    names = ("seconds", "CPU s", "peak MB")
    for name, ours, loops in zip(names, *columns, strict=True):
        figures = {"reid_jax": measuring.figure(ours), "loops": measuring.figure(loops)}
        figures["ratio"] = measuring.ratio(loops, ours)
        cells = " ".join(f"{figure:9.2f}" for figure in figures.values())
        print(f"{name:8} {cells}")
        results[name] = figures
    return results


def _measure(args) -> None:
    import numpy as np

    embeddings = _embeddings(args.queries + args.gallery, args.dimensions)
    query, gallery = embeddings[: args.queries], embeddings[args.queries :]
    method = METHODS[args.measure]()
    start, cpu_start = time.perf_counter(), time.process_time()
    result = method(query, gallery)
    seconds = time.perf_counter() - start
    cpu_seconds = time.process_time() - cpu_start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux: in kB
    print(seconds, cpu_seconds, peak)
    np.save(args.output, result)


def _embeddings(num: int, dimensions: int):
    """Positive and correlated, as a network's: about 15 tracklets of each person."""
    import numpy as np

    rng = np.random.default_rng(0)
    persons = rng.standard_normal((max(num // 15, 2), 64), np.float32)
    latent = persons[rng.integers(len(persons), size=num)]
    latent = latent + 0.8 * rng.standard_normal((num, 64), np.float32)
    mixing = rng.standard_normal((64, dimensions), np.float32)
    embeddings = latent @ mixing
    return np.maximum(embeddings, 0, out=embeddings)


def _reid_jax():
    from reid_jax.retrieval import rerank

    return lambda query, gallery: rerank.k_reciprocal(
        query, gallery, k1=K1, k2=K2, lambda_value=LAMBDA
    )


def _loops():
    """The algorithm entry by entry on full float32 matrices, with NumPy."""
    import numpy as np

    def euclidean(x, y):
        squared = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T
        return np.sqrt(np.maximum(squared, 0))

    def reciprocal(order, entry, k):
        forward = order[entry, : k + 1]
        backward = order[forward, : k + 1]
        return forward[(backward == entry).any(axis=1)]

    def rerank(query, gallery):
        between = euclidean(query, gallery)
        among_queries = euclidean(query, query)
        among_gallery = euclidean(gallery, gallery)
        num_queries, num = len(query), len(query) + len(gallery)
        distances = np.concatenate(
            [
                np.concatenate([among_queries, between], axis=1),
                np.concatenate([between.T, among_gallery], axis=1),
            ]
        )
        distances = distances**2
        distances = (distances / distances.max(axis=0)).T
        order = np.argsort(distances).astype(np.int32)
        encoding = np.zeros_like(distances)
        for entry in range(num):
            members = neighbours = reciprocal(order, entry, K1)
            for neighbour in neighbours:
                others = reciprocal(order, neighbour, round(K1 / 2))
                shared = np.intersect1d(others, neighbours)
                if len(shared) > 2 / 3 * len(others):
                    members = np.append(members, others)
            members = np.unique(members)
            weights = np.exp(-distances[entry, members])
            encoding[entry, members] = weights / weights.sum()
        distances = distances[:num_queries]
        expanded = np.zeros_like(encoding)
        for entry in range(num):
            expanded[entry] = encoding[order[entry, :K2]].mean(axis=0)
        encoding = expanded
        del expanded, order
        having = [np.flatnonzero(encoding[:, entry]) for entry in range(num)]
        jaccard = np.zeros_like(distances)
        for entry in range(num_queries):
            shared = np.zeros(num, np.float32)
            for member in np.flatnonzero(encoding[entry]):
                rows = having[member]
                shared[rows] += np.minimum(
                    encoding[entry, member], encoding[rows, member]
                )
            jaccard[entry] = 1 - shared / (2 - shared)
        final = jaccard * (1 - LAMBDA) + distances * LAMBDA
        return final[:, num_queries:]

    return rerank


METHODS = {"reid_jax": _reid_jax, "loops": _loops}

if __name__ == "__main__":
    main()
