"""Command lines: builds argument parsers, and reads flags before they are parsed."""

import argparse
from collections.abc import Iterator, Sequence
from typing import NoReturn


class _Parser(argparse.ArgumentParser):
    """Reports mistakes in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists all arguments)\n")


def parser(module: str, doc: str) -> argparse.ArgumentParser:
    """Builds the argument parser of `python -m module`, with `doc` as its help.

    The first line of `doc` up to a colon is the description, the rest the epilogue.
    """
    usage, _, epilog = doc.partition("\n\n")
    return _Parser(
        f"python -m {module}",
        description=usage.partition(":")[0] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def whole_numbers(text: str) -> frozenset[int]:
    """Parses a list such as "1,7" of whole numbers, as the `type` of an argument."""
    try:
        return frozenset(map(int, text.split(",")))
    except ValueError:
        problem = f"{text!r} is not a list of whole numbers such as 1,7"
        raise argparse.ArgumentTypeError(problem) from None


def values_of(argv: Sequence[str], flag: str) -> Iterator[str]:
    """Yields a flag's values in unparsed arguments: --flag=value and --flag value."""
    for i, argument in enumerate(argv):
        name, has_value, value = argument.partition("=")
        if argument.startswith("-") and name.lstrip("-") == flag:
            yield from [value] if has_value else argv[i + 1 : i + 2]
