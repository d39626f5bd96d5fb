"""reid_jax/input/files.py on a few hand-made tracklets."""

import io
import itertools

import jax
import numpy as np
import pytest
from PIL import Image

from reid_jax import parallel
from reid_jax.input import datasets, frame_cache, resizing
from tests import hand_made


@pytest.fixture
def split(tmp_path):
    return hand_made.five_persons(tmp_path)


def test_a_dataset_of_a_mixture_has_its_share_however_many_tracklets_it_has(tmp_path):
    frames = [hand_made.encode(0)]
    parts = {
        name: hand_made.split(tmp_path / name, [(pid, 0, frames) for pid in pids])
        for name, pids in (("a", (1, 1, 1, 2)), ("b", (1, 2, 3, 4, -1)))
    }
    split = frame_cache.join(parts)
    weights = datasets.identity_weights(split, (3.0, 1.0))
    np.testing.assert_allclose(weights, [1.5] * 4 + [0.25] * 5)


def test_labels_are_ranks_of_sorted_pids_without_junk(tmp_path, tiny_config):
    frames = [hand_made.encode(0)]
    tracklets = [(40, 0, frames), (-1, 0, frames), (5, 1, frames), (40, 1, frames)]
    split = hand_made.split(tmp_path, tracklets)
    source = hand_made.source(split, tiny_config)
    np.testing.assert_array_equal(source.pids, [5, 40])
    batch = next(source.train_clips())
    for frame_ids, label in zip(batch.frame_ids, batch.labels, strict=True):
        assert [40, None, 5, 40][frame_ids[0]] == [5, 40][label]


def _plain(config):
    config.augment.flip = config.augment.crop = 0.0


@pytest.mark.parametrize("cache", ["disk", "device"])
def test_batches_copy_nothing_by_accident(split, tiny_config, cache):
    tiny_config.data.cache = cache
    batches = hand_made.source(split, tiny_config).train_batches()
    first = next(batches)
    with jax.transfer_guard("disallow"):  # but for what is asked for
        second = next(batches)
    assert second["clips"].shape == first["clips"].shape


def test_training_batches(split, tiny_config):
    _plain(tiny_config)
    source = hand_made.source(split, tiny_config)
    batch, drawn = next(source.train_batches()), next(source.train_clips())
    assert batch["clips"].shape == (4, 3, 32, 16, 3)
    assert batch["clips"].dtype == np.uint8
    labels = batch["labels"]
    assert labels[0] == labels[1] != labels[2] == labels[3]
    tracklet = np.searchsorted(split.first_frame, drawn.frame_ids, side="right") - 1
    shades = 10 * tracklet + drawn.frame_ids - split.first_frame[tracklet]
    shown = np.asarray(batch["clips"])
    expected = np.broadcast_to(shades[..., None, None, None], shown.shape)
    np.testing.assert_array_equal(shown, expected)


def test_a_batch_is_a_function_of_seed_and_step(split, tiny_config):
    def batches(first_step, num):
        train_batches = hand_made.source(split, tiny_config).train_batches(first_step)
        return list(itertools.islice(train_batches, num))

    # Five persons, two a batch: three steps an epoch, so step 4 is in the second.
    assert hand_made.source(split, tiny_config).steps_per_epoch == 3
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
    source = hand_made.source(split, tiny_config)
    whole, of_test = next(source.train_batches()), next(source.eval_batches("query"))
    drawn = next(source.train_clips())
    monkeypatch.setattr(parallel, "local_rows", lambda num_clips, mesh: rows)
    monkeypatch.setattr(parallel, "shard", lambda batch, mesh: batch)
    batches = source.eval_batches("query")
    evaluated = next(batches)
    batches.close()
    np.testing.assert_array_equal(evaluated["clips"], of_test["clips"][rows])
    np.testing.assert_array_equal(evaluated["tracklet"], of_test["tracklet"])

    read = []
    frame_at = type(split).frame_at

    def noted(self, frame_id):
        read.append(frame_id)
        return frame_at(self, frame_id)

    monkeypatch.setattr(type(split), "frame_at", noted)
    # One batch: nothing is read ahead.
    monkeypatch.setattr(source, "train_clips", lambda first_step: iter([drawn]))
    (part,) = source.train_batches()
    np.testing.assert_array_equal(part["clips"], whole["clips"][rows])
    np.testing.assert_array_equal(part["labels"], whole["labels"][rows])
    assert read == drawn.frame_ids[rows].ravel().tolist()


def test_augmentation_is_drawn_once_a_clip_unless_asked(split, tiny_config):
    for per_frame in (False, True):
        tiny_config.augment.per_frame = per_frame
        source = hand_made.source(split, tiny_config)
        drawn = [b.windows for b in itertools.islice(source.train_clips(), 20)]
        differs = [
            np.ptp(values, axis=1).any()
            for windows in drawn
            for values in (windows.flip.astype(int), windows.corner)
        ]
        assert any(differs) == per_frame
    flips = np.concatenate([windows.flip.ravel() for windows in drawn])
    assert 0.3 < flips.mean() < 0.7


def test_crop_and_flip_move_the_picture(tmp_path, tiny_config):
    ramp = np.linspace(0, 255, 16).astype(np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], (32, 16, 3))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    frames = [file.getvalue()] * 3
    split = hand_made.split(tmp_path, [(pid, 0, frames) for pid in (1, 2)])
    tiny_config.augment.flip, tiny_config.augment.crop = 1.0, 0.0
    batch = next(hand_made.source(split, tiny_config).train_batches())
    np.testing.assert_array_equal(batch["clips"][0, 0], picture[:, ::-1])
    tiny_config.augment.flip, tiny_config.augment.crop = 0.0, 1.0
    batches = hand_made.source(split, tiny_config).train_batches()
    corners = {int(next(batches)["clips"][0, 0, 0, 0, 0]) for _ in range(12)}
    assert len(corners) > 1  # 16 × 1.125 = 18: three possible left edges


def test_resized_then_cropped(tmp_path, tiny_config):
    """Paper 2: frames of one size, of which training sees a random window."""
    left, top = np.meshgrid(np.arange(20), np.arange(36))
    picture = np.stack([5 * left, 5 * top, 0 * top], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    split = hand_made.split(
        tmp_path, [(pid, 0, [file.getvalue()] * 3) for pid in (1, 2)]
    )
    tiny_config.data.resize = (36, 20)
    tiny_config.augment.flip, tiny_config.augment.crop = 0.0, 1.0
    source = hand_made.source(split, tiny_config)
    batches = source.train_batches()
    corners = {
        tuple((corner // 5).tolist())
        for _ in range(100)
        for corner in next(batches)["clips"][:, 0, 0, 0, :2]
    }
    assert corners == {(x, y) for x in range(5) for y in range(5)}
    middle = picture[2:34, 2:18]
    batch = next(source.eval_batches("query"))
    np.testing.assert_array_equal(batch["clips"][0, 0], middle)
    tiny_config.augment.crop = 0.0
    batch = next(hand_made.source(split, tiny_config).train_batches())
    np.testing.assert_array_equal(batch["clips"][0, 0], middle)


def test_evaluation_batches_hold_every_clip_once(split, tiny_config):
    batches = list(hand_made.source(split, tiny_config).eval_batches("query"))
    assert {batch["clips"].shape for batch in batches} == {(4, 3, 32, 16, 3)}
    tracklet = np.concatenate([batch["tracklet"] for batch in batches])
    clips_of = [-(-n // 3) for n in split.num_frames]
    padding = -sum(clips_of) % 4
    expected = np.repeat(np.arange(len(split)), clips_of).tolist() + [-1] * padding
    np.testing.assert_array_equal(tracklet, expected)
    shades = np.concatenate([batch["clips"][:, :, 0, 0, 0] for batch in batches])
    np.testing.assert_array_equal(shades[0], [0, 0, 0])  # one frame, repeated
    np.testing.assert_array_equal(shades[2], [13, 14, 13])  # frames 3 and 4 of five


def test_shares_of_the_evaluation_batches(split, tiny_config):
    tiny_config.eval.noise = 1e-3
    source = hand_made.source(split, tiny_config)
    every = list(source.eval_batches("query"))
    assert len(every) > 2
    shares = [list(source.eval_batches("query", share=(i, 2))) for i in range(2)]
    assert list(map(len, shares)) == [-(-len(every) // 2), len(every) // 2]
    for number, batch in enumerate(every):
        shared = shares[number % 2][number // 2]
        for name, values in batch.items():
            np.testing.assert_array_equal(shared[name], values)


def test_processes_run_one_program_for_frames_of_many_sizes(
    tmp_path, tiny_config, monkeypatch
):
    split = frame_cache.join(hand_made.of_many_sizes(tmp_path))
    monkeypatch.setattr(jax.sharding.Mesh, "is_multi_process", property(lambda _: True))
    monkeypatch.setattr(parallel, "shard", lambda batch, mesh: batch)
    programs = set()

    def noted(frames, sizes, windows, **options):
        programs.add((frames.shape, *options.values()))

    monkeypatch.setattr(resizing, "resize_crop_flip", noted)
    for rows in ([0, 1], [2, 3]):
        rows = np.array(rows)
        monkeypatch.setattr(parallel, "local_rows", lambda *_, rows=rows: rows)
        batches = hand_made.source(split, tiny_config).train_batches()
        list(itertools.islice(batches, 5))
    assert len(programs) == 1


def test_large_frames_take_no_more_memory(tmp_path, tiny_config, monkeypatch):
    """One frame of a full picture among crops, which all would be padded to."""
    shapes = []
    resize = resizing.resize_crop_flip

    def noted(frames, *arguments, **options):
        shapes.append(frames.shape[2:4])
        return resize(frames, *arguments, **options)

    monkeypatch.setattr(resizing, "resize_crop_flip", noted)
    rng = np.random.default_rng(0)
    large = Image.fromarray(rng.integers(0, 255, (9, 7, 3), np.uint8))
    large = large.resize((1920, 1080), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "PNG")
    small = hand_made.encode(9)
    split = hand_made.split(
        tmp_path, [(1, 0, [small, file.getvalue(), small]), (2, 0, [small] * 3)]
    )
    source = hand_made.source(split, tiny_config)
    batch = next(source.eval_batches("query"))
    next(source.train_batches())
    height, width = source._augmentation.cropped_size
    assert max(h for h, _ in shapes) <= 1.5 * 2 * height
    assert max(w for _, w in shapes) <= 1.5 * 2 * width
    expected = np.asarray(large.resize((16, 32), Image.Resampling.BILINEAR))
    difference = np.abs(np.asarray(batch["clips"][0, 1], int) - expected)
    assert difference.mean() < 2 and difference.max() < 12


def test_memory_stays_bounded_on_a_long_tracklet(tmp_path, tiny_config):
    split = hand_made.split(tmp_path, [(1, 0, [hand_made.encode(0)] * 900)])
    num = sum(1 for _ in hand_made.source(split, tiny_config).eval_batches("query"))
    assert num == 75  # of 4 clips of 3 frames each: no batch grows with the tracklet


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_gray_and_odd_sizes_become_rgb_frames(tmp_path, tiny_config, kind):
    file = io.BytesIO()
    Image.new("L", (7, 91), 120).save(file, kind)
    split = hand_made.split(tmp_path, [(pid, 0, [file.getvalue()]) for pid in (1, 2)])
    batch = next(hand_made.source(split, tiny_config).eval_batches("query"))
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
    split = hand_made.split(tmp_path, tracklets)
    with pytest.raises(ValueError, match=r"tracklet 3-3 frame 2: .*Replace"):
        list(hand_made.source(split, tiny_config).eval_batches("query"))
    _plain(tiny_config)
    batches = hand_made.source(split, tiny_config).train_batches()
    with pytest.raises(ValueError, match="tracklet 3-3 frame 2"):
        list(itertools.islice(batches, 30))


def test_too_few_identities_for_a_batch(tmp_path, tiny_config):
    split = hand_made.split(tmp_path, [(1, 0, [hand_made.encode(0)])])
    with pytest.raises(ValueError, match=r"P=2.*only 1.*config\.data\.p"):
        next(hand_made.source(split, tiny_config).train_batches())
