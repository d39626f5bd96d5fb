"""Converts weights: `python -m reid_jax.convert_weights SOURCE [OUTPUT]`.

    python -m reid_jax.convert_weights resnet50-19c8e357.pth resnet50.safetensors
    python -m reid_jax.convert_weights runs/attn_tconv attn_tconv.pth.tar
    python -m reid_jax.convert_weights c3d.pickle            (prints its parameters)

A file of weights is a checkpoint of the original code; a run is one of train.py.
A run is written under the original code's names and in its layouts (Video-Person-ReID,
3D-ResNets-PyTorch, C3D), so that PyTorch loads it; a file under its own names without
a prefix that all have (`module.`), any style of C3D as conv1 … fc8. A .safetensors file
says which pixels its weights want (config.data.normalization). --config.init_from reads
all of these.
"""

import signal

if __name__ == "__main__":  # the imports below take seconds: Ctrl-C ends them quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from collections.abc import Mapping, Sequence

import numpy as np

from reid_jax.cli import arguments as cli_arguments
from reid_jax.cli import ending
from reid_jax.errors import UserError
from reid_jax.input import pixels
from reid_jax.models import checkpoint_files, torch_weights
from reid_jax.runs import weight_sources

_PROGRAM = "python -m reid_jax.convert_weights"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; SystemExit with status 1 for what the user can mend."""
    parser = cli_arguments.parser("reid_jax.convert_weights", __doc__)
    parser.add_argument(
        "source", help="a checkpoint file or the workdir of a run (its latest state)"
    )
    parser.add_argument(
        "output",
        nargs="?",
        help=f"file to write: {' '.join(checkpoint_files.SUFFIXES)} (torch's need "
        "PyTorch); without it only the parameters are printed",
    )
    parser.add_argument(
        "--normalization",
        help="pixels that the weights were trained on, where it is not known by itself",
    )
    parser.add_argument(
        "--prefix",
        help="take the weights whose names begin so, of a file with several networks",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="print no table of the parameters"
    )
    values = parser.parse_args(arguments)
    ending.quieten()
    with ending.one_line_errors(vars(values).values(), program=_PROGRAM):
        convert(
            values.source,
            values.output,
            normalization=values.normalization,
            prefix=values.prefix,
            quiet=values.quiet,
        )


def convert(
    source: str,
    output: str | None = None,
    *,
    normalization: str | None = None,
    prefix: str | None = None,
    quiet: bool = False,
) -> None:
    """Print what `source` holds; write it to `output` if given.

    `normalization`, a name of `pixels.NORMALIZATIONS`, is noted in the file instead of
    what is known of `source`. Of a file with several networks `prefix` says which; what
    is under no network's prefix is not written. Raises UserError for what cannot be
    read or written.
    """
    if normalization is not None and normalization not in pixels.NORMALIZATIONS:
        known = ", ".join(pixels.NORMALIZATIONS)
        raise UserError(f"--normalization={normalization} is unknown; known: {known}.")
    if output is not None:
        kind = checkpoint_files.kind(output)
        if normalization is not None and kind != "safetensors":
            raise UserError(
                f"--normalization is noted in .safetensors files only, not in {output}."
            )
    given = weight_sources.read(source, prefix=prefix)
    weights = torch_weights.published_weights(given.weights)
    if not quiet:
        print(parameter_table(weights))
    wants = (normalization,) if normalization else given.normalizations
    print(
        f"{source}: {given.description}{given.location}; config.data.normalization: "
        f"{' or '.join(wants) or 'not known'}"
    )
    if given.left_out:
        print(f"not taken of it: {', '.join(weight_sources.parts(given.left_out))}")
    if output is not None:
        noted = {"source": given.description}
        if wants:
            noted["normalization"] = ",".join(wants)
        checkpoint_files.write_checkpoint(output, weights, noted)
        print(f"written to {output}")
        if wants and kind != "safetensors":
            print("(which does not say what pixels it wants; .safetensors would)")


def parameter_table(weights: Mapping[str, np.ndarray]) -> str:
    """One line a parameter: its name and shape there and here, its values; the sum."""
    lines = [("name", "shape", "in reid-jax", "shape", "values")]
    total = 0
    for key, value in weights.items():
        if key.endswith("num_batches_tracked"):
            continue
        ours, shape = torch_weights.our_parameter(key, value.shape) or ("-", ())
        there, here = ("×".join(map(str, s)) for s in (value.shape, shape))
        lines.append((key, there, ours, here, f"{value.size:,}"))
        total += value.size
    lines.append((f"{len(lines) - 1} tensors", "", "", "", f"{total:,}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(n) for text, n in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


if __name__ == "__main__":
    ending.guard(main, program=_PROGRAM)
