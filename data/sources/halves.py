"""Splits persons into two halves, for datasets without published splits."""

import hashlib
from collections.abc import Iterable


def seeded_halves(persons: Iterable, seed: int) -> tuple[list, list]:
    """Training and test persons: two halves drawn by `seed`, each in the given order.

    The test half has one more where the number is odd. The draw sorts persons by
    SHA-256: a random number generator could give other halves with another version of
    NumPy.
    """
    persons = list(persons)

    def digest(person) -> bytes:
        return hashlib.sha256(f"{seed} {person}".encode()).digest()

    train = set(sorted(persons, key=digest)[: len(persons) // 2])
    return (
        [person for person in persons if person in train],
        [person for person in persons if person not in train],
    )
