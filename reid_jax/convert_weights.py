"""Converts weights: `python -m reid_jax.convert_weights SOURCE [OUTPUT]`.

    python -m reid_jax.convert_weights resnet50-19c8e357.pth resnet50.safetensors
    python -m reid_jax.convert_weights runs/attn_tconv attn_tconv.pth.tar
    python -m reid_jax.convert_weights c3d.pickle            (prints its parameters)

SOURCE is a file of weights, or the workdir of a run. OUTPUT has the names and layouts
of the original code (Video-Person-ReID, 3D-ResNets-PyTorch, C3D), so that PyTorch can
load it. Names from a file stay the same, but a prefix of all names (`module.`) is
removed, and the names of C3D become conv1 … fc8. A .safetensors file also stores the
normalisation of the pixels, config.data.normalization. --config.init_from reads all of
these files.
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
    """Runs the command line; exits with status 1 for errors that the user can mend."""
    parser = cli_arguments.parser("reid_jax.convert_weights", __doc__)
    parser.add_argument(
        "source", help="a checkpoint file or the workdir of a run (its latest state)"
    )
    parser.add_argument(
        "output",
        nargs="?",
        help=f"file to write: {' '.join(checkpoint_files.SUFFIXES)} (all but the "
        "first two need PyTorch); without it, the parameters are only printed",
    )
    parser.add_argument(
        "--normalization",
        help="convention of the pixels that the weights were trained on: "
        f"{', '.join(pixels.NORMALIZATIONS)} (default: guessed from the source)",
    )
    parser.add_argument(
        "--prefix",
        help="take only the weights whose names begin with this, from a file with "
        "several networks",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="do not print the table of parameters"
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
    """Prints the weights in `source`, and writes them to `output` if given.

    Args:
        source: a file of weights, or the workdir of a run.
        output: the file to write.
        normalization: a name of `pixels.NORMALIZATIONS`, which is stored in the output
            in place of the one that was found for `source`.
        prefix: chooses a network in a file with several. Weights that belong to no
            network are not written.
        quiet: whether to leave the table of parameters out.

    Raises:
        UserError: `source` cannot be read, or `output` cannot be written.
    """
    if normalization is not None and normalization not in pixels.NORMALIZATIONS:
        names = ", ".join(pixels.NORMALIZATIONS)
        raise UserError(f"--normalization={normalization} is unknown; known: {names}.")
    if output is not None:
        kind = checkpoint_files.kind(output)
        if normalization is not None and kind != "safetensors":
            raise UserError(
                "--normalization is stored in .safetensors files only, not in "
                f"{output}."
            )
    given = weight_sources.read(source, prefix=prefix)
    weights = torch_weights.published_weights(given.weights)
    if not quiet:
        print(parameter_table(weights))
    normalizations = (normalization,) if normalization else given.normalizations
    print(f"{source}: {given.description}{given.location}")
    print(f"config.data.normalization: {' or '.join(normalizations) or 'unknown'}")
    if given.left_out:
        print(f"left out: {', '.join(weight_sources.parts(given.left_out))}")
    if output is None:
        return
    metadata = {"source": given.description}
    if normalizations:
        metadata["normalization"] = ",".join(normalizations)
    checkpoint_files.write_checkpoint(output, weights, metadata)
    print(f"written to {output}")
    print("\nnext, start a run from it (with a config of the same network):")
    setting = f"--config.init_from={output}"
    if normalizations and kind != "safetensors":  # this file does not hold it
        setting += f" --config.data.normalization={normalizations[0]}"
    print(f"  python train.py --config=configs/NAME.py {setting}")


def parameter_table(weights: Mapping[str, np.ndarray]) -> str:
    """Formats a line for each parameter: name and shape in the file and in reid-jax."""
    lines = [("name", "shape", "in reid-jax", "shape")]
    total = 0
    for key, value in weights.items():
        if key.endswith("num_batches_tracked"):
            continue
        ours, shape = torch_weights.our_parameter(key, value.shape) or ("-", ())
        original_shape, our_shape = (
            "×".join(map(str, sizes)) for sizes in (value.shape, shape)
        )
        lines.append((key, original_shape, ours, our_shape))
        total += value.size
    num_tensors = len(lines) - 1
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = [
        "  ".join(text.ljust(n) for text, n in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*texts, f"{num_tensors} tensors, {total:,} values"])


if __name__ == "__main__":
    ending.guard(main, program=_PROGRAM)
