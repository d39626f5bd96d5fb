"""The command line of the programs that are started as `python -m module`."""

import argparse


def parser(module: str, doc: str) -> argparse.ArgumentParser:
    """The argument parser of `python -m module`; its help is the docstring `doc`."""
    usage, _, rest = doc.partition("\n\n")
    return argparse.ArgumentParser(
        f"python -m {module}",
        description=usage.partition(":")[0] + ".",
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
