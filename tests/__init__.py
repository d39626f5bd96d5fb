"""Where the tests find the project and their reference numbers."""

import pathlib

ROOT = pathlib.Path(__file__).parents[1]
GOLDEN = pathlib.Path(__file__).parent / "golden"
