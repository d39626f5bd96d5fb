"""Time and memory of linking tracks into persons, against SciPy's whole tree.

python benchmarks/linking.py                          (4,000 tracks, seconds)
python benchmarks/linking.py --tracks=50000 --alone   (SciPy would need 20 GB)

Random embeddings of planted persons, five tracks each; some tracks share a frame with
one of another person. "whole tree" is what one would write first: all distances in
one condensed matrix for scipy.cluster.hierarchy.linkage. Both find the same persons.
"""

import functools
import pathlib
import sys

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial import distance

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from reid_jax.footage.constraints import Constraints
from reid_jax.retrieval import linking

_TRACKS_A_PERSON, _NOISE = 5, 0.4


def main() -> None:
    parser = measuring.parser(__doc__, rounds=3)
    parser.add_argument("--tracks", type=measuring.at_least(10), default=4000)
    parser.add_argument("--dimensions", type=measuring.at_least(2), default=128)
    parser.add_argument("--alone", action="store_true", help="without SciPy's")
    args = parser.parse_args()
    embeddings, constraints, threshold = planted(args.tracks, args.dimensions)
    machine = measuring.begin(args)
    before = measuring.megabytes("VmRSS")
    labels = {}

    def run(name: str) -> float:
        def link() -> None:
            labels[name] = METHODS[name](embeddings, constraints, threshold)

        return measuring.seconds(link)

    names = ["ours"] if args.alone else list(METHODS)
    if args.alone:
        found = {"ours": [run("ours")]}
    else:
        found = measuring.in_turn(
            {name: functools.partial(run, name) for name in names}, args.rounds
        )
    results = measuring.compare(found, names[-1], "seconds", "8.2f")
    extra = measuring.megabytes("VmHWM") - before
    persons = len(set(labels["ours"].tolist()))
    planted_persons = -(-args.tracks // _TRACKS_A_PERSON)
    print(
        f"{args.tracks:,} tracks are {persons:,} persons, {planted_persons:,} were "
        f"planted; {extra:,.0f} MB at most"
    )
    for name in names[1:]:
        our_labels, their_labels = labels["ours"], labels[name]
        pairs = len(set(zip(our_labels.tolist(), their_labels.tolist(), strict=True)))
        print(f"{name}: the same persons: {pairs == persons == len(set(their_labels))}")
    measuring.print_json(machine, results | {"megabytes": extra, "persons": persons})


def planted(num: int, dimensions: int) -> tuple[np.ndarray, Constraints, float]:
    """Embeddings, constraints, and a threshold between those of one and of two."""
    rng = np.random.default_rng(0)
    person = np.arange(num) // _TRACKS_A_PERSON
    centres = rng.normal(size=(person[-1] + 1, dimensions))
    embeddings = centres[person] + _NOISE * rng.normal(size=(num, dimensions))
    # Tracks 4 and 5 of each ten are of two persons, and share a frame.
    frames = [np.array([i - (i % 10 == _TRACKS_A_PERSON)]) for i in range(num)]
    recordings = np.zeros(num, int)
    constraints = Constraints(frames, recordings, recordings)
    threshold = 1.5 * _NOISE * (2 * dimensions) ** 0.5
    return embeddings.astype(np.float32), constraints, threshold


def _ours(embeddings, constraints, threshold) -> np.ndarray:
    return linking.link(embeddings, threshold, constraints).labels


def _whole_tree(embeddings, constraints, threshold) -> np.ndarray:
    everybody = np.arange(len(embeddings))
    matrix = linking.distance_matrix(embeddings, embeddings, "l2")
    matrix[constraints(everybody, everybody)] = 1e30
    np.fill_diagonal(matrix, 0)
    condensed = distance.squareform(matrix, checks=False)
    tree = hierarchy.linkage(condensed, "average")
    return hierarchy.fcluster(tree, threshold, "distance")


METHODS = {"ours": _ours, "whole tree": _whole_tree}

if __name__ == "__main__":
    main()
