"""reid_jax/input_pipeline.py and frame_cache.py on a few hand-made tracklets."""

import io
import itertools
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from configs import base
from reid_jax import (
    augmentation,
    datasets,
    device_frames,
    frame_cache,
    input_pipeline,
    parallel,
)


def _encode(shade: int, kind: str = "PNG", size=(20, 40)) -> bytes:
    image = Image.new("RGB", size, (shade, shade, shade))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def _split(folder: pathlib.Path, tracklets) -> frame_cache.Split:
    """A split of (pid, camid, frames) tracklets."""
    examples = [
        {"frames": frames, "pid": pid, "camid": camid, "tracklet": f"{pid}-{i}"}
        for i, (pid, camid, frames) in enumerate(tracklets)
    ]
    return frame_cache.open_split(folder, "train", lambda: examples)


@pytest.fixture
def split(tmp_path):
    """Five persons, two tracklets each but the last; frame t of tracklet i is 10i+t."""
    pids = [7, 7, 3, 3, 9, 9, 4, 4, 2]
    lengths = [1, 5, 3, 9, 2, 4, 6, 3, 2]
    return _split(
        tmp_path,
        [
            (pid, i % 2, [_encode(10 * i + t) for t in range(n)])
            for i, (pid, n) in enumerate(zip(pids, lengths, strict=True))
        ],
    )


def test_a_dataset_of_a_mixture_has_its_share_however_many_tracklets_it_has(tmp_path):
    frames = [_encode(0)]
    parts = {
        name: _split(tmp_path / name, [(pid, 0, frames) for pid in pids])
        for name, pids in (("a", (1, 1, 1, 2)), ("b", (1, 2, 3, 4, -1)))
    }
    split = frame_cache.join(parts)
    config = base.get_config()
    assert datasets.identity_weights(split, config) is None
    config.data.mixture_weights = (3.0, 1.0)
    weights = datasets.identity_weights(split, config)
    np.testing.assert_allclose(weights, [1.5] * 4 + [0.25] * 5)


def test_frames_come_back_and_the_cache_is_written_once(tmp_path, split):
    assert split.frame(3, 8) == _encode(38)
    assert split.names[3] == "3-3"
    again = frame_cache.open_split(tmp_path, "train", lambda: pytest.fail("read again"))
    assert again.frame(8, 1) == _encode(81)


def test_a_cache_is_whole_or_not_there(tmp_path):
    def breaks():
        yield {"frames": [b"abc"], "pid": 1, "camid": 0, "tracklet": "a"}
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        frame_cache.open_split(tmp_path, "train", breaks)
    assert not list(tmp_path.iterdir())


def test_labels_are_ranks_of_sorted_pids_without_junk(tmp_path, tiny_config):
    frames = [_encode(0)]
    tracklets = [(40, 0, frames), (-1, 0, frames), (5, 1, frames), (40, 1, frames)]
    split = _split(tmp_path, tracklets)
    np.testing.assert_array_equal(input_pipeline.training_pids(split), [5, 40])
    for clip in next(input_pipeline.train_clips(split, tiny_config)):
        assert [40, None, 5, 40][clip.tracklet] == [5, 40][clip.label]


def _plain(config):
    config.augment.flip = config.augment.crop = 0.0


def test_training_batches(split, tiny_config):
    _plain(tiny_config)
    batch = next(input_pipeline.train_batches(split, tiny_config))
    clips = next(input_pipeline.train_clips(split, tiny_config))
    assert batch["clips"].shape == (4, 3, 32, 16, 3)
    assert batch["clips"].dtype == np.uint8
    labels = batch["labels"]
    assert labels[0] == labels[1] != labels[2] == labels[3]
    for clip, frames in zip(clips, batch["clips"], strict=True):
        shades = 10 * clip.tracklet + clip.frames
        np.testing.assert_array_equal(
            frames, np.broadcast_to(shades[:, None, None, None], frames.shape)
        )


def test_a_batch_is_a_function_of_seed_and_step(split, tiny_config):
    def batches(first_step, num):
        source = input_pipeline.train_batches(split, tiny_config, first_step=first_step)
        return list(itertools.islice(source, num))

    # Five persons, two a batch: three steps an epoch, so step 4 is in the second.
    assert input_pipeline.steps_per_epoch(split, tiny_config) == 3
    straight, resumed = batches(0, 6), batches(4, 2)
    for one, other in zip(straight[4:], resumed, strict=True):
        np.testing.assert_array_equal(one["clips"], other["clips"])
        np.testing.assert_array_equal(one["labels"], other["labels"])
    tiny_config.seed = 1
    assert any(
        (one["labels"] != other["labels"]).any()
        for one, other in zip(straight, batches(0, 6), strict=True)
    )


def test_a_process_reads_only_its_rows(split, tiny_config, monkeypatch):
    rows = np.array([1, 3])
    whole = next(input_pipeline.train_batches(split, tiny_config))
    of_test = next(input_pipeline.eval_batches(split, tiny_config))
    clips = next(input_pipeline.train_clips(split, tiny_config))
    monkeypatch.setattr(parallel, "local_rows", lambda num_clips, mesh: rows)
    batches = input_pipeline.eval_batches(split, tiny_config)
    evaluated = next(batches)
    batches.close()
    np.testing.assert_array_equal(evaluated["clips"], of_test["clips"][rows])
    np.testing.assert_array_equal(evaluated["tracklet"], of_test["tracklet"])

    read = []
    frame_at = type(split).frame_at

    def noted(self, place):
        read.append(place)
        return frame_at(self, place)

    monkeypatch.setattr(type(split), "frame_at", noted)
    monkeypatch.setattr(
        input_pipeline, "train_clips", lambda *_: iter([clips])
    )  # one batch: nothing is read ahead
    (part,) = input_pipeline.train_batches(split, tiny_config)
    np.testing.assert_array_equal(part["clips"], whole["clips"][rows])
    np.testing.assert_array_equal(part["labels"], whole["labels"][rows])
    first = split.first_frame
    wanted = [first[clips[r].tracklet] + int(t) for r in rows for t in clips[r].frames]
    assert read == wanted


def test_augmentation_is_drawn_once_a_clip_unless_asked(split, tiny_config):
    for per_frame in (False, True):
        tiny_config.augment.per_frame = per_frame
        drawn = list(
            itertools.islice(input_pipeline.train_clips(split, tiny_config), 20)
        )
        differs = [
            len({*clip.flip.tolist()}) > 1 or np.ptp(clip.shift, axis=0).any()
            for batch in drawn
            for clip in batch
        ]
        assert any(differs) == per_frame
    flips = np.concatenate([clip.flip for batch in drawn for clip in batch])
    assert 0.3 < flips.mean() < 0.7


def test_crop_and_flip_move_the_picture(tmp_path, tiny_config):
    ramp = np.linspace(0, 255, 16).astype(np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], (32, 16, 3))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    frames = [file.getvalue()] * 3
    split = _split(tmp_path, [(pid, 0, frames) for pid in (1, 2)])
    tiny_config.augment.flip, tiny_config.augment.crop = 1.0, 0.0
    batch = next(input_pipeline.train_batches(split, tiny_config))
    np.testing.assert_array_equal(batch["clips"][0, 0], picture[:, ::-1])
    tiny_config.augment.flip, tiny_config.augment.crop = 0.0, 1.0
    source = input_pipeline.train_batches(split, tiny_config)
    corners = {int(next(source)["clips"][0, 0, 0, 0, 0]) for _ in range(12)}
    assert len(corners) > 1  # 16 × 1.125 = 18: three possible left edges


def test_resized_then_cropped(tmp_path, tiny_config):
    """Paper 2: frames of one size, of which training sees a random window."""
    left, top = np.meshgrid(np.arange(20), np.arange(36))
    picture = np.stack([5 * left, 5 * top, 0 * top], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    split = _split(tmp_path, [(pid, 0, [file.getvalue()] * 3) for pid in (1, 2)])
    tiny_config.data.resize = (36, 20)
    tiny_config.augment.flip, tiny_config.augment.crop = 0.0, 1.0
    source = input_pipeline.train_batches(split, tiny_config)
    corners = {
        tuple((corner // 5).tolist())
        for _ in range(100)
        for corner in next(source)["clips"][:, 0, 0, 0, :2]
    }
    assert corners == {(x, y) for x in range(5) for y in range(5)}
    middle = picture[2:34, 2:18]
    batch = next(input_pipeline.eval_batches(split, tiny_config))
    np.testing.assert_array_equal(batch["clips"][0, 0], middle)
    tiny_config.augment.crop = 0.0
    batch = next(input_pipeline.train_batches(split, tiny_config))
    np.testing.assert_array_equal(batch["clips"][0, 0], middle)


def test_evaluation_batches_hold_every_clip_once(split, tiny_config):
    batches = list(input_pipeline.eval_batches(split, tiny_config))
    assert {batch["clips"].shape for batch in batches} == {(4, 3, 32, 16, 3)}
    tracklet = np.concatenate([batch["tracklet"] for batch in batches])
    clips_of = [-(-n // 3) for n in split.num_frames]
    padding = -sum(clips_of) % 4
    expected = np.repeat(np.arange(len(split)), clips_of).tolist() + [-1] * padding
    np.testing.assert_array_equal(tracklet, expected)
    shades = np.concatenate([batch["clips"][:, :, 0, 0, 0] for batch in batches])
    np.testing.assert_array_equal(shades[0], [0, 0, 0])  # one frame, repeated
    np.testing.assert_array_equal(shades[2], [13, 14, 13])  # frames 3 and 4 of five


@pytest.fixture
def sizes(tmp_path):
    """Two datasets of four persons, their frames of many sizes."""
    rng = np.random.default_rng(0)

    def frame(*size):
        file = io.BytesIO()
        Image.fromarray(rng.integers(256, size=size).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    def tracklets():
        for pid in range(1, 5):
            size = *rng.integers(10, 70, 2).tolist(), 3
            yield pid, 0, [frame(*size) for _ in range(pid)]

    return {name: _split(tmp_path / name, [*tracklets()]) for name in "ab"}


def test_training_sees_the_same_wherever_frames_wait(sizes, tiny_config):
    tiny_config.augment.update(per_frame=True, erase=0.5)
    split = frame_cache.join(sizes)
    kept = {}
    for cache in ("disk", "device"):
        tiny_config.data.cache = cache
        source = input_pipeline.train_batches(split, tiny_config)
        kept[cache] = list(itertools.islice(source, 6))
    for one, other in zip(*kept.values(), strict=True):
        np.testing.assert_array_equal(one["clips"], other["clips"])
        np.testing.assert_array_equal(one["labels"], other["labels"])


def test_processes_run_one_program_for_frames_of_many_sizes(
    sizes, tiny_config, monkeypatch
):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    split = frame_cache.join(sizes)
    programs = set()
    for rows in ([0, 1], [2, 3]):
        batches = input_pipeline.train_clips(split, tiny_config)
        made = input_pipeline.host_batches(split, tiny_config, batches, rows)
        for _, (frames, *_), options in itertools.islice(made, 5):
            programs.add((frames.shape, *options.values()))
    assert len(programs) == 1


def test_sizes_are_rounded_up_to_few():
    rounded = {augmentation.round_up(n) for n in range(1, 1025)}
    assert {1, 2, 3, 64, 96, 128, 1024} < rounded and len(rounded) == 20
    assert all(n <= augmentation.round_up(n) <= 1.5 * n for n in range(1, 1025))


def test_frames_in_memory_are_read_once(tmp_path, split):
    on_disk = frame_cache.open_split(tmp_path, "train", None)
    kept = frame_cache.open_split(tmp_path, "train", None, in_memory=True)
    assert on_disk.frame(3, 8) == kept.frame(3, 8) == _encode(38)
    with kept.path.open("r+b") as file:
        file.write(b"x" * kept.path.stat().st_size)
    assert on_disk.frame(8, 1) != kept.frame(8, 1) == _encode(81)


def test_a_cache_of_an_older_version_is_written_anew(tmp_path, split):
    index = tmp_path / "train.index.npz"
    with np.load(index) as arrays:
        older = {name: arrays[name] for name in arrays if name != "sizes"}
    np.savez(index, **older)
    assert frame_cache.open_split(tmp_path, "train", lambda: []).sizes.shape == (0, 2)


def test_frames_that_do_not_fit_on_the_device():
    class Small:
        def __str__(self):
            return "TPU 0"

        def memory_stats(self):
            return {"bytes_limit": 90_000, "bytes_in_use": 20_000}

    shape = (35, 40, 20, 3)
    with pytest.raises(ValueError, match=r"35 frames of 40×20.*TPU 0.*cache='ram'"):
        device_frames._check_room(shape, [Small()])
    device_frames._check_room((23, *shape[1:]), [Small()])


def test_memory_stays_bounded_on_a_long_tracklet(tmp_path, tiny_config):
    split = _split(tmp_path, [(1, 0, [_encode(0)] * 900)])
    num = sum(1 for _ in input_pipeline.eval_batches(split, tiny_config))
    assert num == 75  # of 4 clips of 3 frames each: no batch grows with the tracklet


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_gray_and_odd_sizes_become_rgb_frames(tmp_path, tiny_config, kind):
    file = io.BytesIO()
    Image.new("L", (7, 91), 120).save(file, kind)
    split = _split(tmp_path, [(pid, 0, [file.getvalue()]) for pid in (1, 2)])
    batch = next(input_pipeline.eval_batches(split, tiny_config))
    np.testing.assert_array_equal(batch["clips"], np.full((4, 3, 32, 16, 3), 120))


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"x"]
)
def test_a_damaged_image_names_its_tracklet_and_frame(tmp_path, tiny_config, damage):
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (64, 32, 3), np.uint8)).save(file, "JPEG")
    sound = file.getvalue()
    tracklets = [(pid, 0, [sound] * 4) for pid in range(6)]
    tracklets[3][2][2] = damage(sound)
    split = _split(tmp_path, tracklets)
    with pytest.raises(ValueError, match=r"tracklet 3-3 frame 2: .*Replace"):
        list(input_pipeline.eval_batches(split, tiny_config))
    _plain(tiny_config)
    source = input_pipeline.train_batches(split, tiny_config)
    with pytest.raises(ValueError, match="tracklet 3-3 frame 2"):
        list(itertools.islice(source, 30))


def test_too_few_identities_for_a_batch(tmp_path, tiny_config):
    split = _split(tmp_path, [(1, 0, [_encode(0)])])
    with pytest.raises(ValueError, match=r"P=2.*only 1.*config\.data\.p"):
        next(input_pipeline.train_batches(split, tiny_config))
