"""Paths of the project and of the reference numbers of the tests."""

import pathlib

ROOT = pathlib.Path(__file__).parents[1]
GOLDEN = pathlib.Path(__file__).parent / "golden"
