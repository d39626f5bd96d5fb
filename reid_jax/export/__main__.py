"""Exports a trained network for other programs: `python -m reid_jax.export …`.

    … --workdir=runs/demo --format=stablehlo   --out=demo.stablehlo  (JAX, any XLA)
    … --workdir=runs/demo --format=onnx        --out=demo.onnx       (ONNX Runtime, …)
    … --workdir=runs/demo --format=saved_model --out=demo            (TensorFlow)
    … --workdir=runs/demo --format=weights     --out=weights/demo    (reid-jax itself)

The input is clips, uint8 [B, T, H, W, 3] in RGB: any number B, any height and width,
and T frames as in training. The output is embeddings, float32 [B, D], as in evaluation:
resizing and normalisation are part of the network. <out>.json has T and D, thresholds
for the same person, and a fingerprint of the weights. docs/export.md shows how to read
each format. `weights` is a folder with one file of weights, which is opened like a run.
"""

import signal

if __name__ == "__main__":  # the imports below take seconds: Ctrl-C ends them quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import pathlib
from collections.abc import Sequence

from reid_jax.cli import arguments as cli_arguments
from reid_jax.cli import ending

_PROGRAM = "python -m reid_jax.export"
_FORMATS = ("stablehlo", "onnx", "saved_model", "weights")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; exits with status 1 for errors that the user can mend."""
    given = _parser().parse_args(arguments)
    ending.quieten()
    with ending.one_line_errors(vars(given).values(), program=_PROGRAM):
        from reid_jax.export import program  # takes seconds; --help does not need it

        program.export(given.workdir, given.format, given.out, dtype=given.dtype)


def _parser() -> argparse.ArgumentParser:
    parser = cli_arguments.parser("reid_jax.export", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of a trained run")
    parser.add_argument("--format", required=True, choices=_FORMATS)
    parser.add_argument(
        "--out",
        required=True,
        type=pathlib.Path,
        help="file to write; an older file is replaced. saved_model: a new folder; "
        "weights: a folder",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="dtype of the computation (default: the run's dtype)",
    )
    return parser


if __name__ == "__main__":
    ending.guard(main, program=_PROGRAM)
