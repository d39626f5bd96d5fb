"""Embeddings of the tracks of a video, by a trained run."""

import io
import os
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from reid_jax.input import frame_cache
from reid_jax.runs import folder as run_folder
from reid_jax.runs import run_embeddings
from reid_jax.runs.embeddings import embed_tracklets


def embed_tracks(
    workdir: str | os.PathLike,
    tracks: Sequence[Sequence[UInt8[np.ndarray, "h w 3"]]],
    *,
    trained: bool = True,
) -> Float[np.ndarray, "N D"]:
    """Embed N tracks, each the pictures of one person, of any sizes, in order.

    They are resized and put together as the run's own evaluation does it; with
    `trained` False by the run's network before its first step.

    Raises:
        UserError: `workdir` has no run with a checkpoint.
    """
    from reid_jax.input import files as input_pipeline

    config = run_folder.load_config(workdir)
    embed_clips = run_embeddings.network(config, pathlib.Path(workdir), trained=trained)
    with tempfile.TemporaryDirectory() as folder:
        split = frame_cache.open_split(
            pathlib.Path(folder),
            "tracks",
            lambda: (_example(i, track) for i, track in enumerate(tracks)),
        )
        batches = input_pipeline.eval_batches(split, config)
        return np.asarray(embed_tracklets(embed_clips, batches, len(split)))


def _example(number: int, pictures) -> dict:
    frames = []
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        frames.append(file.getvalue())
    return {"frames": frames, "pid": 1, "camid": 0, "tracklet": f"track {number}"}
