"""The network of a run as one function of uint8 clips, written in a format."""

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
"""What StableHLO and SavedModels are lowered for."""

_FPR = 0.01
"""Share of pairs of different persons that the thresholds beside a file accept."""


def export(
    workdir: str | os.PathLike,
    format: str,
    out: str | os.PathLike,
    *,
    dtype: str | None = None,
) -> None:
    """Write the network of the run in `workdir`, and `<out>.json` beside it.

    `format` is "stablehlo", "onnx", "saved_model", or "weights": a folder that is
    opened like a run, see `runs.published`. The checkpoint is the run's
    `config.eval.checkpoint`. `dtype` ("float32", "bfloat16") is by default the run's.
    Raises UserError for another format, for a folder without a checkpoint, for what a
    format cannot hold, and where nothing can be written.
    """
    if format not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"--format={format} is unknown; known: {known}.")
    out = pathlib.Path(out)
    if format == "weights":
        _publish(Run(workdir), out)
        return
    _check_out(out, is_folder=format == "saved_model")
    config = run_folder.load_config(workdir)
    config.model.remat = False  # belongs to gradients
    config.model.dtype = dtype or config.model.dtype
    run = Run(workdir, config)
    if format == "onnx":
        onnx.check(config)
    shown = augmentation.build_augmentation(config)
    embed = embed_function(run.embed_step, run.state, shown)
    clips = clip_shape(config.model.clip_length)
    with files.write_whole(out) as unfinished, _without_paths():
        match format:
            case "stablehlo":
                unfinished.write_bytes(stablehlo(embed, clips))
            case "onnx":
                unfinished.write_bytes(onnx.convert(embed, clips))
            case "saved_model":
                saved_model.save(embed, clips, unfinished, PLATFORMS)
    beside = out.with_name(f"{out.name}.json")
    files.write_json(beside, describe(run, format, jax.eval_shape(embed, clips)))
    print(f"{run.workdir}, step {run.step}: written to {out} and {beside}")


def _publish(run: Run, folder: pathlib.Path) -> None:
    path = published.publish(
        run.model, run.config, folder, step=run.step, num_persons=run.num_persons
    )
    print(
        f"{run.workdir}, step {run.step}: written to {path}, SHA-256 "
        f"{published.digest(path)}\n"
        f"thresholds for it: python evaluate.py --workdir={folder}"
    )


@contextlib.contextmanager
def _without_paths() -> Iterator[None]:
    """Lets JAX note lines of source files without this machine's folders."""
    name = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, name)
    jax.config.update(name, ".*/")
    try:
        yield
    finally:
        jax.config.update(name, before)


def embed_function(
    step: Callable, state: steps.TrainState, shown: augmentation.Augmentation
) -> Callable[[jax.Array], jax.Array]:
    """The function clips uint8 [B, T, H, W, 3] → embeddings float32 [B, D].

    `step` is that of `steps.make_embed_step`; the weights in `state` are constants in
    the function. Sizes may be symbolic.
    """
    # Not as they lie on devices: the function is one of a single device.
    params, batch_stats = jax.device_get((state.params, state.batch_stats))

    def embed(clips):
        with convolution.by_xla(True):  # any machine may run it
            frames = resizing.middle(clips, shown)
            return step(params, batch_stats, frames).embedding

    return embed


def stablehlo(
    embed: Callable[[jax.Array], jax.Array], clips: jax.ShapeDtypeStruct
) -> bytes:
    """What `jax.export.deserialize` reads; `clips` has symbolic sizes."""
    exported = jax.export.export(jax.jit(embed), platforms=PLATFORMS)(clips)
    return bytes(exported.serialize())


def clip_shape(clip_length: int) -> jax.ShapeDtypeStruct:
    """Clips [B, T, H, W, 3] of `clip_length` frames; all but T is symbolic."""
    B, H, W = jax.export.symbolic_shape("B, H, W")
    return jax.ShapeDtypeStruct((B, clip_length, H, W, 3), jnp.uint8)


def describe(run: Run, format: str, embedding: jax.ShapeDtypeStruct) -> dict:
    """What a reader of the file needs, for JSON.

    `thresholds` are those of `evaluate.py`, one a metric: distances of tracklets, the
    mean of their clips' embeddings.
    """
    model, data = run.config.model, run.config.data
    thresholds = []
    for metric in distances.METRICS:
        try:
            known = calibration.read_calibration(
                run.folder, metric, weights=run.fingerprint
            )
            found = known.threshold(_FPR)
        except UserError:  # not scored by that metric, or of too few pairs
            continue
        thresholds.append(
            {
                "metric": metric,
                "distance": found.distance,
                "fpr": _FPR,
                "tpr": found.tpr,
                "dataset": known.dataset,
                "conditions": known.conditions,
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
    """Raises UserError, before anything is computed, where `out` cannot be written."""
    if out.is_dir() and not is_folder:
        raise UserError(f"--out={out} is a folder; a file is needed.")
    if is_folder and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out={out} exists; a new folder is needed.")
