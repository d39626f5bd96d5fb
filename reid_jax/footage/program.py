"""Runs a command of `python -m reid_jax.footage`: reads, embeds, writes."""

import argparse
import pathlib

from reid_jax import files, peers
from reid_jax.errors import UserError
from reid_jax.footage import (
    cameras,
    embedding,
    link,
    output,
    progress,
    search,
    tracks,
)
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.tracks import Plan
from reid_jax.runs.run import Run


def run_command(given: argparse.Namespace) -> None:
    """Runs the command whose arguments `flags.parser` has parsed."""
    recordings = _recordings(given)
    run = Run(given.workdir)
    settings = tracks.Settings(given.min_frames, given.every)
    plan = tracks.read(recordings, settings)
    match given.command:
        case "link":
            link.check(run, plan, given)
        case "search":
            search.check(run, plan, given)
        case "embed":
            if given.out.suffix != ".npz":
                raise UserError(f"--out={given.out}: a name ending in .npz is needed.")
            if peers.is_main_process():  # only it writes
                output.check(given.out.parent, [given.out.name], plan, [given.cameras])
    cache_folder = _cache_folder(run, given)
    with progress.shown() as show:
        embedding.embed_together(run, plan, cache_folder=cache_folder, progress=show)
        if peers.is_main_process():
            seen = embedding.embed(run, plan, cache_folder=cache_folder, progress=show)
    if peers.is_main_process():
        _write(run, plan, seen, given)
    peers.wait_for_all("written")


def _write(run: Run, plan: Plan, seen: Appearances, given: argparse.Namespace) -> None:
    match given.command:
        case "link":
            link.link(run, plan, seen, given)
        case "search":
            search.search(run, plan, seen, given)
        case "embed":
            with files.write_whole(given.out) as unfinished:
                output.write_embeddings(unfinished, seen)
            dim = seen.embeddings.shape[1]
            print(f"{len(seen)} tracks, {dim} numbers each, written to {given.out}")
            print(
                f'\nnext, in Python: numpy.load("{given.out}")["embeddings"]'
                f"  # float32 [{len(seen)}, {dim}]"
            )


def _recordings(given: argparse.Namespace) -> list[cameras.Recording]:
    video_and_tracks = (given.video, given.tracks)
    video_settings = {
        name: getattr(given, name) for name in ("first_frame", "classes", "fps")
    }
    video_settings = {
        name: value for name, value in video_settings.items() if value is not None
    }
    if given.cameras and not any(video_and_tracks):
        if video_settings:
            raise UserError(
                f"--{next(iter(video_settings))} belongs to --video; --cameras has a "
                "column of that name."
            )
        return cameras.read(given.cameras)
    if given.cameras or not all(video_and_tracks):
        raise UserError("--cameras=FILE is needed, or --video=… and --tracks=….")
    return cameras.single(*video_and_tracks, **video_settings)


def _cache_folder(run: Run, given: argparse.Namespace) -> pathlib.Path | None:
    if given.keep is None:
        return run.workdir / "footage"
    return None if str(given.keep) == "none" else given.keep
