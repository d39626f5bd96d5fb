"""Writes the network of a run as a function of uint8 clips, in several formats."""

import contextlib
import importlib.metadata
import os
import pathlib
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from reid_jax import files, steps
from reid_jax.errors import UserError
from reid_jax.export import onnx, resizing, saved_model
from reid_jax.input import augmentation
from reid_jax.models import convolution
from reid_jax.retrieval import distances
from reid_jax.runs import folder as run_folder
from reid_jax.runs import published
from reid_jax.runs.run import Run
from reid_jax.scoring import calibration

FORMATS = ("stablehlo", "onnx", "saved_model", "weights")

PLATFORMS = ("cpu", "cuda", "tpu")
"""Platforms that StableHLO and SavedModels are lowered for."""

_FPR = 0.01
"""False positive rate of the thresholds in `<out>.json`."""


def export(
    workdir: str | os.PathLike,
    format: str,
    out: str | os.PathLike,
    *,
    dtype: str | None = None,
) -> None:
    """Writes the network of a run, and `<out>.json` beside it.

    Args:
        workdir: the folder of the run. Its `config.eval.checkpoint` chooses the
            checkpoint.
        format: one of `FORMATS`. "weights" is a folder that is opened like a run, see
            `runs.published`.
        out: the file or folder to write.
        dtype: "float32" or "bfloat16"; by default that of the run.

    Raises:
        UserError: an unknown format, a folder without a checkpoint, a network that the
            format cannot hold, or a path that cannot be written.
    """
    if format not in FORMATS:
        names = ", ".join(FORMATS)
        raise UserError(f"--format={format} is unknown; known: {names}.")
    out = pathlib.Path(out)
    if format == "weights":
        if dtype is not None:
            raise UserError(
                "--dtype belongs to the other formats: weights are float32, and "
                "config.model.dtype says what they are computed in."
            )
        _publish(Run(workdir), out)
        return
    _check_out(out, is_folder=format == "saved_model")
    config = run_folder.load_config(workdir)
    config.model.remat = False  # only gradients need it
    config.model.dtype = dtype or config.model.dtype
    run = Run(workdir, config)
    if format == "onnx":
        onnx.check(config)
    test_augmentation = augmentation.build_augmentation(config)
    embed = embed_function(run.embed_step, run.state, test_augmentation)
    clips = clip_shape(config.model.clip_length)
    with files.write_whole(out) as unfinished, _without_paths():
        match format:
            case "stablehlo":
                unfinished.write_bytes(stablehlo(embed, clips))
            case "onnx":
                unfinished.write_bytes(onnx.convert(embed, clips))
            case "saved_model":
                saved_model.save(embed, clips, unfinished, PLATFORMS)
    json_path = out.with_name(f"{out.name}.json")
    files.write_json(json_path, describe(run, format, jax.eval_shape(embed, clips)))
    print(f"{run.workdir}, step {run.step}: written to {out} and {json_path}")
    print(f"\nnext, in Python: {_READERS[format].format(out)}")
    print("docs/export.md has a whole program that reads it.")


_READERS = {
    "stablehlo": 'jax.export.deserialize(open("{}", "rb").read()).call(clips)',
    "onnx": 'onnxruntime.InferenceSession("{}").run(None, {{"clips": clips}})',
    "saved_model": 'tensorflow.saved_model.load("{}").signatures["serving_default"]',
}
"""Python expressions that read the file of a format."""


def _publish(run: Run, folder: pathlib.Path) -> None:
    path = published.publish(
        run.model, run.config, folder, step=run.step, num_persons=run.num_persons
    )
    print(
        f"{run.workdir}, step {run.step}: written to {path}, SHA-256 "
        f"{published.digest(path)}\n\n"
        f"next, measure its thresholds:\n  python evaluate.py --workdir={folder}"
    )


@contextlib.contextmanager
def _without_paths() -> Iterator[None]:
    """Removes this machine's folders from source locations in exported programs."""
    name = "jax_hlo_source_file_canonicalization_regex"
    original = getattr(jax.config, name)
    jax.config.update(name, ".*/")
    try:
        yield
    finally:
        jax.config.update(name, original)


def embed_function(
    step: Callable, state: steps.TrainState, shown: augmentation.Augmentation
) -> Callable[[jax.Array], jax.Array]:
    """Builds the function clips uint8 [B, T, H, W, 3] → embeddings float32 [B, D].

    Sizes may be symbolic.

    Args:
        step: from `steps.make_embed_step`.
        state: its weights become constants of the function.
        shown: how frames are resized and cropped.
    """
    # Copied to the host: the function is for a single device.
    params, batch_stats = jax.device_get((state.params, state.batch_stats))

    def embed(clips):
        with convolution.by_xla(True):  # it may run on any machine
            frames = resizing.middle(clips, shown)
            return step(params, batch_stats, frames).embedding

    return embed


def stablehlo(
    embed: Callable[[jax.Array], jax.Array], clips: jax.ShapeDtypeStruct
) -> bytes:
    """Returns what `jax.export.deserialize` reads; `clips` has symbolic sizes."""
    exported = jax.export.export(jax.jit(embed), platforms=PLATFORMS)(clips)
    return bytes(exported.serialize())


def clip_shape(clip_length: int) -> jax.ShapeDtypeStruct:
    """Returns the shape [B, T, H, W, 3] of clips; all sizes but T are symbolic."""
    B, H, W = jax.export.symbolic_shape("B, H, W")
    return jax.ShapeDtypeStruct((B, clip_length, H, W, 3), jnp.uint8)


def describe(run: Run, format: str, embedding: jax.ShapeDtypeStruct) -> dict:
    """Returns the content of `<out>.json`: what a reader of the file needs.

    `thresholds` has an entry for each metric that `evaluate.py` has scored. They are
    distances of tracklets, which are the means of their clips' embeddings.
    """
    model, data = run.config.model, run.config.data
    thresholds = []
    for metric in distances.METRICS:
        try:
            calibrated = calibration.read_calibration(
                run.folder, metric, weights=run.fingerprint
            )
            threshold = calibrated.threshold(_FPR)
        except UserError:  # not scored by that metric, or too few pairs
            continue
        thresholds.append(
            {
                "metric": metric,
                "distance": threshold.distance,
                "fpr": _FPR,
                "tpr": threshold.tpr,
                "dataset": calibrated.dataset,
                "conditions": calibrated.conditions,
            }
        )
    return {
        "format": format,
        "clips": {
            "dtype": "uint8",
            "shape": ["B", model.clip_length, "H", "W", 3],
            "channels": "RGB",
        },
        "embedding": {
            "dtype": str(embedding.dtype),
            "shape": ["B", embedding.shape[1]],
        },
        "resized_inside_to": list(data.resize or model.frame_size),
        "frame_size": list(model.frame_size),
        "normalised_inside_as": data.normalization,
        "backbone": model.backbone,
        "temporal": model.temporal,
        "dtype": model.dtype,
        "trained_on": run_folder.training_name(run.config),
        "step": run.step,
        "weights": run.fingerprint,
        "thresholds": thresholds,
        "versions": {
            name: importlib.metadata.version(name) for name in ("reid-jax", "jax")
        },
    }


def _check_out(out: pathlib.Path, *, is_folder: bool) -> None:
    """Raises a UserError if `out` cannot be written, before anything is computed."""
    if out.is_dir() and not is_folder:
        raise UserError(f"--out={out} is a folder; a file is needed.")
    if is_folder and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out={out} exists; a new folder is needed.")
