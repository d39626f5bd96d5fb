"""Our own splits of persons, for datasets without published ones."""

import hashlib
from collections.abc import Iterable


def seeded_halves(persons: Iterable, seed: int) -> tuple[list, list]:
    """Training and test persons: two halves, each in the given order, by `seed`.

    The test half is the larger of an odd number. Drawn with SHA-256, not a random
    number generator: the halves are the same with every version of everything.
    """
    persons = list(persons)

    def drawn(person) -> bytes:
        return hashlib.sha256(f"{seed} {person}".encode()).digest()

    train = set(sorted(persons, key=drawn)[: len(persons) // 2])
    return (
        [person for person in persons if person in train],
        [person for person in persons if person not in train],
    )
