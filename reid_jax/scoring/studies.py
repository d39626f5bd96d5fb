"""Studies of a trained run: the same ranking under ever harder conditions.

`frames` limits the frames of every tracklet; the others are `corruptions.CORRUPTIONS`.
"""

import functools
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from reid_jax import files, parallel
from reid_jax.errors import UserError
from reid_jax.input import source as sources
from reid_jax.report import curves as curve_pictures
from reid_jax.runs import run_embeddings
from reid_jax.scoring import corruptions, metrics, scores

Level = corruptions.Level
FRAMES = "frames"
NAMES = (FRAMES, *corruptions.CORRUPTIONS)
SIDES = {"both": corruptions.SPLITS, "query": ("query",), "gallery": ("gallery",)}
_FRAME_LEVELS = (1, 8, 16, 32)  # Kansal & Subramanyam 2018, Table III


def run(
    config,
    workdir: pathlib.Path,
    name: str,
    levels: Sequence[Level] = (),
    side: str = "both",
) -> list[dict]:
    """Score the run as it is and at each level; print, write and draw what comes out.

    `levels` are the study's usual ones when empty. `side` says which tracklets change:
    those of the queries, the gallery's, or both. A learnt metric is learnt on training
    tracklets as they are. Rows are those of `scores.json` with `level` (None: as it
    is, without the noise of `config.eval.noise`). Writes
    `<eval folder>/study_<name>[_<side>].json` and `.png`.
    Raises UserError for an unknown name or side and for levels that cannot be.
    """
    levels, config = _checked(name, levels, side), _without_noise(config)
    step = run_embeddings.wanted_step(config, workdir)
    dataset = sources.pipeline(config).load_dataset(config)
    config.eval.baselines = False
    stored = run_embeddings.stored_or_made(config, workdir, step, dataset)
    plain = stored.methods["trained"]
    learnt = metrics.build(config, plain.get("train"))
    embed_step, state = run_embeddings.restore(config, workdir, step)
    network = functools.partial(
        run_embeddings.network_embedder, embed_step, state, mesh=parallel.local_mesh()
    )
    embed = network(config=config)
    protocol = scores.headline(config, dataset.protocols)

    title = f"{config.data.name}, {side}" + " sides" * (side == "both")
    print(f"\n{config.data.name}, step {step} of {workdir}: {_unit(name)}, {side}")
    sides = [getattr(dataset, split) for split in SIDES[side]]
    _say_what_is_filled(config, sides, levels if name == FRAMES else ())
    rows = []
    for level in (None, *levels):
        splits = dict(plain)
        if level is not None:
            for split in SIDES[side]:
                if name == FRAMES:
                    limited = network(config=_limited(config, level))
                    splits[split] = limited(dataset, split)
                else:
                    change = _change(config, name, level, split)
                    splits[split] = embed(dataset, split, change)
        for metric in learnt:
            scored = scores.score("trained", splits, metric, config, protocol)
            rows.append({"level": level} | scored.row())
    print(_table(name, rows))
    path = _path(config, workdir, name, side)
    summary = {"dataset": config.data.name, "step": step, "study": name, "side": side}
    summary["made_from"] = _made_from(config, dataset, step)
    files.write_json(path, summary | {"rows": rows})
    curve_pictures.study(
        path.with_suffix(".png"), _curves(rows), _unit(name), title=title
    )
    print(f"\nwritten to {path} and .png")
    return rows


def stored_or_run(
    config, workdir: pathlib.Path, name: str, levels: Sequence[Level] = ()
) -> list[dict]:
    """The rows of `run`, both sides changed, run again unless they are stored.

    Levels that were stored beside the wanted ones are kept.
    """
    wanted, config = _checked(name, levels, "both"), _without_noise(config)
    step = run_embeddings.wanted_step(config, workdir)
    dataset = sources.pipeline(config).load_dataset(config)
    made_from = _made_from(config, dataset, step)
    try:
        stored = json.loads(_path(config, workdir, name, "both").read_text())
        rows = stored["rows"] if stored["made_from"] == made_from else []
        levels = {row["level"] for row in rows} - {None}
    except (OSError, ValueError, LookupError, TypeError):  # none, or another version's
        rows, levels = [], set()
    if not levels.issuperset(wanted):
        return run(config, workdir, name, sorted(levels.union(wanted)))
    return rows


def _path(config, workdir: pathlib.Path, name: str, side: str) -> pathlib.Path:
    file = "_".join(["study", name] + [side] * (side != "both")) + ".json"
    return run_embeddings.eval_folder(config, workdir) / file


_SCORING = ("metric", "rerank", "xqda_", "kissme_", "ap", "protocol")
"""Fields of `config.eval` (or their beginnings) that a score depends on."""


def _made_from(config, dataset, step: int) -> dict:
    """What a study's rows depend on, but for its levels."""
    scoring = {k: v for k, v in config.eval.items() if k.startswith(_SCORING)}
    source = run_embeddings.source(config, dataset, step)
    return {"embeddings": source, "seed": config.seed, "scoring": scoring}


def _checked(name: str, levels: Sequence[Level], side: str) -> tuple[Level, ...]:
    if name not in NAMES:
        raise UserError(f"--study={name} is unknown; known: {', '.join(NAMES)}.")
    if side not in SIDES:
        raise UserError(f"--side={side} is unknown; known: {', '.join(SIDES)}.")
    if name == FRAMES:
        limits, usual, whole = (1, 2**31 - 1), _FRAME_LEVELS, True
    else:
        corruption = corruptions.CORRUPTIONS[name]
        limits, usual, whole = corruption.limits, corruption.levels, corruption.whole
    levels = tuple(dict.fromkeys(levels)) or usual
    for level in levels:
        low, high = limits
        if not low <= level <= high or (whole and level != round(level)):
            kind = "a whole number" if whole else "a number"
            raise UserError(
                f"--levels: {level:g} is no {_unit(name)}: {kind} from {low:g} to "
                f"{high:g}."
            )
    return tuple(round(level) if whole else level for level in levels)


def _unit(name: str) -> str:
    if name == FRAMES:
        return "frames of a tracklet"
    return corruptions.CORRUPTIONS[name].unit


def _change(config, name: str, level: Level, split: str):
    apply = corruptions.CORRUPTIONS[name].apply

    def change(clips, number, embed_clips):
        first = number * config.eval.batch_clips
        keys = corruptions.clip_keys(config.seed, split, first, len(clips))
        return apply(clips, level, keys, embed_clips)

    return change


def _without_noise(config):
    """A study's levels take its place."""
    config = config.copy_and_resolve_references()
    config.eval.noise = 0.0
    return config


def _limited(config, level: Level):
    config = config.copy_and_resolve_references()
    config.eval.max_frames = level
    return config


def _say_what_is_filled(config, splits, levels: Sequence[Level]) -> None:
    """Which tracklets are shorter than a level, or than a clip: their frames repeat."""
    T = config.model.clip_length
    num_frames = np.concatenate([split.num_frames for split in splits])
    for level in levels:
        if fewer := int(np.sum(num_frames < level)):
            print(
                f"{fewer} of {len(num_frames)} tracklets have fewer than {level} "
                "frames and are taken whole"
            )
    for limit in (config.eval.max_frames or np.inf, *levels):
        short = np.sum(np.minimum(num_frames, limit) < T)
        if short:
            frames = "all" if limit == np.inf else f"{limit}"
            print(
                f"with {frames} frames, {short} of {len(num_frames)} tracklets are "
                f"shorter than the network's {T} and are filled cyclically"
            )


def _table(name: str, rows: list[dict]) -> str:
    shown = [row | {"method": scores.level_name(row["level"])} for row in rows]
    return scores.format_table(shown, first_title=_unit(name))


def _curves(rows: list[dict]) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """Level → score, for each score and metric."""
    curves = {"mAP": {}, "CMC-1": {}}
    for row in rows:
        level = scores.level_name(row["level"])
        metric = row["metric"] + ", re-ranked" * row["rerank"]
        for score, value in (("mAP", row["mean_ap"]), ("CMC-1", row["cmc"]["1"])):
            curves[score].setdefault(metric, []).append((level, value))
    return curves
