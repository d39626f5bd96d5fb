"""Command lines: argparse's parser, and the values of flags not parsed yet."""

import argparse
from collections.abc import Iterator, Sequence


def parser(module: str, doc: str) -> argparse.ArgumentParser:
    """The argument parser of `python -m module`; its help is the docstring `doc`."""
    usage, _, rest = doc.partition("\n\n")
    return argparse.ArgumentParser(
        f"python -m {module}",
        description=usage.partition(":")[0] + ".",
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def whole_numbers(text: str) -> frozenset[int]:
    """The whole numbers of a list with commas, for a parser's `type`."""
    try:
        return frozenset(map(int, text.split(",")))
    except ValueError:
        problem = f"{text!r} is not a list of whole numbers such as 1,7"
        raise argparse.ArgumentTypeError(problem) from None


def values_of(argv: Sequence[str], flag: str) -> Iterator[str]:
    """The values of a flag among unparsed arguments: --flag=value and --flag value."""
    for i, argument in enumerate(argv):
        name, has_value, value = argument.partition("=")
        if argument.startswith("-") and name.lstrip("-") == flag:
            yield from [value] if has_value else argv[i + 1 : i + 2]
