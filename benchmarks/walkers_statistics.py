"""Colour and sharpness of walkers' frames, beside those of a real video's tracks.

python benchmarks/walkers_statistics.py [--video=street.avi --tracks=tracks.txt]
python benchmarks/walkers_statistics.py --plans        (tracklets and frames of each)

Frames are resized to 128x64 first. "figure" is the middle third of the columns between
a sixth and five sixths of the height, where the person mostly is.
"""

import dataclasses
import pathlib
import sys

import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from data.videos import cutting, mot
from data.walkers import plan
from data.walkers.sizes import SIZES, names
from data.walkers.world import World

_NUM_TRACKLETS = 40
_FRAMES_EACH = 4


def statistics(frames: np.ndarray) -> dict[str, float]:
    """Statistics of frames, uint8 [N, 128, 64, 3]; all in [0, 1]."""
    hsv = [np.asarray(Image.fromarray(frame).convert("HSV")) for frame in frames]
    hsv = np.stack(hsv) / 255
    figure = frames[:, 21:107, 21:43] / 255
    luma = frames.mean(-1) / 255
    rows, columns = np.diff(luma, axis=1), np.diff(luma, axis=2)
    return {
        "value": hsv[..., 2].mean(),
        "value sd": hsv[..., 2].std(),
        "saturation": hsv[..., 1].mean(),
        "saturation sd": hsv[..., 1].std(),
        "contrast in a frame": luma.std((1, 2)).mean(),
        "brightness between frames, sd": luma.mean((1, 2)).std(),
        "figure: share below 0.2": (figure.mean(-1) < 0.2).mean(),
        "figure: saturation": hsv[:, 21:107, 21:43, 1].mean(),
        "gradient down": np.abs(rows).mean(),
        "gradient across": np.abs(columns).mean(),
        "second difference across": np.abs(np.diff(columns, axis=2)).mean(),
    }


def _walkers(name: str) -> np.ndarray:
    size = {"frame_height": 128, "frame_width": 64}
    short = {"num_frames": (4, 16), "median_frames": 8}
    sizes = dataclasses.replace(SIZES[name], **size, **short)
    entries = [e for e in plan.plan(sizes) if e.split == "train"]
    entries = entries[:: max(1, len(entries) // _NUM_TRACKLETS)][:_NUM_TRACKLETS]
    return np.concatenate([_some(f) for _, f in World(sizes).render(entries)])


def _some(frames) -> list[np.ndarray]:
    chosen = np.linspace(0, len(frames) - 1, _FRAMES_EACH).astype(int)
    return [frames[i] for i in chosen]


def _real(video, tracks) -> np.ndarray:
    by_id = mot.read_tracks(tracks).by_id
    cut = cutting.cut_tracks(video, by_id, min_frames=_FRAMES_EACH)
    frames = [crop for tracklet in cut for crop in _some(tracklet.crops)]
    frames = [Image.fromarray(f).resize((64, 128), Image.BILINEAR) for f in frames]
    return np.stack([np.asarray(f) for f in frames])


def _print_plans() -> None:
    """The sizes of every world, nothing rendered; frames: least, median, most, sum."""
    for name, sizes in SIZES.items():
        entries = plan.plan(sizes)
        splits = [entry.split for entry in entries]
        counts = [f"{splits.count(s):,}" for s in ("train", "query", "gallery")]
        lengths = [entry.num_frames for entry in entries]
        each = f"{min(lengths)} / {np.median(lengths):.0f} / {max(lengths)}"
        print(
            f"| `{name}` | {sizes.num_train} + {sizes.num_test} | {sizes.num_cameras} "
            f"| {' / '.join(counts)} | {each} | {sum(lengths):,} "
            f"| {sizes.frame_height}×{sizes.frame_width} |"
        )


def main() -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--video")
    parser.add_argument("--tracks")
    every = ",".join(name for name in SIZES if name != "tiny")
    parser.add_argument("--configs", type=names, default=every)
    parser.add_argument("--plans", action="store_true")
    args = parser.parse_args()
    if (args.video is None) != (args.tracks is None):
        parser.error("--video and --tracks go together")
    if args.plans:
        _print_plans()
        return
    table = {}
    if args.video:
        table["real video"] = statistics(_real(args.video, args.tracks))
    for name in args.configs:
        table[name] = statistics(_walkers(name))
    print("| | " + " | ".join(table) + " |")
    print("|---" * (len(table) + 1) + "|")
    for key in next(iter(table.values())):
        cells = " | ".join(f"{column[key]:.3f}" for column in table.values())
        print(f"| {key} | {cells} |")


if __name__ == "__main__":
    main()
