import dataclasses
import io
import time

import jax
import numpy as np
import pytest
from PIL import Image

from data.walkers import contact_sheet, plan, render, world
from data.walkers.sizes import SIZES
from data.walkers.world import World
from reid_jax.scoring import color_histogram

TINY = SIZES["tiny"]


def _chosen(sizes, pids, limit=100):
    return [e for e in plan.plan(sizes) if e.pid in pids][:limit]


def _render(sizes, entries):
    return {e.name: frames for e, frames in World(sizes).render(entries)}


@pytest.fixture(scope="module")
def tiny():
    """{(split, name): (pid, camid, frames)} of the whole tiny world."""
    return {(split, name): rest for split, name, *rest in world.generate(TINY)}


def test_frames_have_the_planned_shapes_and_a_range_of_values(tiny):
    entries = plan.plan(TINY)
    assert list(tiny) == [(e.split, e.name) for e in entries]
    for entry, (pid, camid, frames) in zip(entries, tiny.values(), strict=True):
        assert (pid, camid) == (entry.pid, entry.camid)
        assert frames.dtype == np.uint8
        assert frames.shape == (entry.num_frames, 64, 32, 3)
        assert frames.std() > 8
        assert np.ptp(frames) > 60


def test_frames_of_a_tracklet_differ_but_little(tiny):
    """Less than two persons in front of one camera."""
    shown = [(pid, camid, frames.astype(float)) for pid, camid, frames in tiny.values()]
    steps = [np.abs(np.diff(f, axis=0)).mean() for *_, f in shown if len(f) > 1]
    persons = [
        np.abs(one[0] - other[0]).mean()
        for pid, camid, one in shown
        for other_pid, other_camid, other in shown
        if pid != other_pid and camid == other_camid
    ]
    assert min(steps) > 2
    assert np.median(steps) < 0.5 * np.median(persons)


def test_same_seed_same_bytes_in_any_company(tiny):
    # Person 9 alone fills other batches at other places than among all.
    alone = _render(TINY, _chosen(TINY, {9}))
    assert len(alone) == 6
    for (_, name), (pid, _, frames) in tiny.items():
        if pid == 9:
            np.testing.assert_array_equal(alone[name], frames)


def test_person_is_the_same_however_many_there_are():
    few = dataclasses.replace(TINY, num_train=2, num_test=0, edge_cases=False)
    many = dataclasses.replace(few, num_train=5)
    first = _render(few, _chosen(few, {2}))
    second = _render(many, _chosen(many, {2}))
    assert first
    for name, frames in first.items():
        np.testing.assert_array_equal(second[name], frames)


def test_another_seed_gives_another_world(tiny):
    other = dataclasses.replace(TINY, seed=1)
    entries = _chosen(TINY, {10})
    rendered = _render(other, entries)
    for entry in entries:
        before = tiny[entry.split, entry.name][2]
        assert np.abs(rendered[entry.name].astype(float) - before).mean() > 10


@pytest.mark.parametrize(
    "frame_size",
    [(32, 16), (256, 128), (96, 40)],
)
@pytest.mark.slow
def test_a_frame_of_any_size_shows_the_same_scene(frame_size):
    height, width = frame_size
    sizes = dataclasses.replace(TINY, frame_height=height, frame_width=width)
    entry = _chosen(TINY, {9})[0]
    ((_, large),) = World(sizes).render([entry])
    ((_, small),) = World(TINY).render([entry])
    assert large.shape == (entry.num_frames, height, width, 3)
    smaller = (min(width, 32), min(height, 64))
    pair = (
        np.asarray(Image.fromarray(frames[0]).resize(smaller, Image.BOX), float)
        for frames in (large, small)
    )
    assert np.corrcoef(*(frame.ravel() for frame in pair))[0, 1] > 0.75


def test_blank_leaves_what_surrounds_the_person():
    blank = dataclasses.replace(TINY, style=dataclasses.replace(TINY.style, blank=1.0))
    entries = _chosen(TINY, {9})
    with_person, without = _render(TINY, entries), _render(blank, entries)
    for entry in entries:
        change = np.abs(with_person[entry.name].astype(float) - without[entry.name])
        middle, edges = change[:, 16:48, 12:20].mean(), change[:, :4, [0, -1]].mean()
        assert middle > 3 * edges


def test_junk_boxes_lie_beside_a_person():
    style = dataclasses.replace(TINY.style, passing=0.0, occlusion=0.0)
    sizes = dataclasses.replace(
        TINY, num_train=0, num_test=0, edge_cases=False, num_junk=4, num_distractors=4,
        style=style,
    )  # fmt: skip
    blank = dataclasses.replace(sizes, style=dataclasses.replace(style, blank=1.0))
    entries = plan.plan(sizes)
    with_person, without = _render(sizes, entries), _render(blank, entries)
    assert len(entries) == 8
    for entry in entries:
        shown = np.abs(with_person[entry.name].astype(float) - without[entry.name])
        across = shown.sum((0, 1, 3))
        middle = np.average(np.arange(32), weights=across)
        assert (8 < middle < 24) == (entry.pid == plan.DISTRACTOR_PID)


def test_the_gallery_of_days_is_of_another_day():
    sizes = dataclasses.replace(TINY, days=2, num_test=2)
    entries = [entry for entry in plan.plan(sizes) if entry.split != "train"]
    rendered = World(sizes)
    clothes, builds = {}, {}
    for entry in entries:
        day = int(entry.split == "gallery")
        someone = rendered.person(entry.person, day)
        clothes.setdefault(entry.pid, {})[day] = someone.outfit.upper
        builds.setdefault(entry.pid, []).append(float(someone.build.height))
    assert all((of[0] != of[1]).any() for of in clothes.values())
    assert all(len(set(heights)) == 1 for heights in builds.values())
    one_day = dict(World(dataclasses.replace(sizes, days=1)).render(entries))
    for entry, frames in rendered.render(entries):
        is_changed = entry.split == "gallery"
        assert (frames != one_day[entry]).any() == is_changed


def test_the_backdrop_goes_by_as_the_person_walks():
    rendered = World(
        dataclasses.replace(TINY, num_frames=(200, 200), median_frames=200)
    )
    walk = rendered.tracklet(plan.plan(rendered.sizes)[0])
    frames = np.arange(200.0)
    way = np.stack([render.path_so_far(walk, f) for f in frames])
    yaw = walk.heading + walk.wander[0] * np.sin(
        walk.wander[1] * frames + walk.wander[2]
    )
    steps = np.stack([np.sin(yaw), np.cos(yaw)], -1)
    assert np.abs(np.diff(way, axis=0) - steps[:-1]).max() < 0.35
    assert (np.linalg.norm(np.diff(way, axis=0), axis=1) < 1.4).all()


def test_every_frame_of_a_long_tracklet_is_its_own():
    """Across the chunks that are rendered at once."""
    long = dataclasses.replace(TINY, num_frames=(70, 70), median_frames=70)
    rendered = World(long)
    entry = _chosen(long, {9})[0]
    ((_, frames),) = rendered.render([entry])
    assert len(frames) == 70 > 2 * world.CHUNK
    for t in (31, 32, 39, 69):
        np.testing.assert_array_equal(frames[t], rendered.frame(entry, t))
    assert len({frame.tobytes() for frame in frames}) == 70
    ((_, first),) = rendered.render([entry], max_frames=33)
    np.testing.assert_array_equal(first, frames[:33])
    with pytest.raises(IndexError, match="has no frame 70"):
        rendered.frame(entry, 70)


def test_who_stops_early_waits_for_no_more(monkeypatch):
    """Than what is being rendered: all that waits its turn is dropped."""
    rendered, chunks = World(TINY), []

    def chunk(entry, walk, first, end):
        chunks.append(entry)
        time.sleep(0.001)
        return np.zeros((world.CHUNK, 1), np.uint8)

    monkeypatch.setattr(rendered, "_chunk", chunk)
    monkeypatch.setattr(rendered, "tracklet", lambda entry: None)
    short = dataclasses.replace(plan.plan(TINY)[0], num_frames=1)
    long = dataclasses.replace(short, num_frames=10_000 * world.CHUNK)
    frames = rendered.render([short, *[long] * 50])
    assert len(next(frames)[1]) == 1
    frames.close()
    assert len(chunks) < 5_000
    before = len(chunks)
    time.sleep(0.01)
    assert len(chunks) == before


@pytest.mark.parametrize("nuisance", ["occlusion", "passing", "noise", "interlace"])
def test_what_disturbs_is_seen(nuisance):
    """In every tracklet where it is on for certain, in none where it is off."""
    calm = dataclasses.replace(TINY.style, occlusion=0.0, passing=0.0)
    on = off = dataclasses.replace(TINY, style=calm)
    if nuisance in ("occlusion", "passing"):
        on = dataclasses.replace(
            TINY, style=dataclasses.replace(calm, **{nuisance: 1.0})
        )
    entries = _chosen(TINY, {9, 10})
    first, second = World(on), World(off)
    if nuisance in ("noise", "interlace"):
        for rendered, value in ((first, 0.3), (second, 0.0)):
            each = np.full(TINY.num_cameras, value, np.float32)
            rendered.cameras = dataclasses.replace(rendered.cameras, **{nuisance: each})
    disturbed = 0
    for (entry, one), (_, other) in zip(
        first.render(entries), second.render(entries), strict=True
    ):
        change = np.abs(one.astype(float) - other).mean((1, 2, 3))
        walks = float(first.tracklet(entry).speed) > 0
        disturbed += change.max() > 1
        # Who stands has no motion that could be torn.
        assert walks or nuisance != "interlace" or change.max() == 0
    assert disturbed > 0.6 * len(entries)


def test_two_of_a_hundred_trackers_of_street_switch():
    sizes = SIZES["street"]
    assert sizes.style.switch == 0.02
    rendered = World(sizes)
    entries = plan.plan(sizes)[:600]
    switched = [float(rendered.tracklet(entry).switch) < 1e8 for entry in entries]
    assert 4 <= sum(switched) <= 24


def test_tracker_switches_to_another_person():
    sizes = dataclasses.replace(TINY, style=dataclasses.replace(TINY.style, switch=1.0))
    entry = max(_chosen(TINY, {9}), key=lambda e: e.num_frames)
    rendered = World(sizes)
    walk = rendered.tracklet(entry)
    switch = float(walk.switch)
    assert 0 < switch < entry.num_frames
    assert (float(walk.passing[0]), float(walk.passing[3])) == (switch, 1)  # they meet
    kept = dataclasses.replace(walk, switch=np.float32(1e9))
    same, switched = (
        np.asarray(rendered._chunk(entry, each, 0, 99))[: entry.num_frames].astype(
            float
        )
        for each in (kept, walk)
    )
    change = np.abs(same - switched).mean((1, 2, 3))
    before = np.arange(entry.num_frames) < switch
    assert change[~before].min() > 2 > 0 == change[before].max()
    # From then on it is the passer who is seen, in the first one's place.
    someone = jax.tree.map(np.asarray, walk.passer)
    rendered.person = lambda number, day: someone
    alone = dataclasses.replace(kept, passing=np.zeros(4, np.float32))
    passer = np.asarray(rendered._chunk(entry, alone, 0, 99))[: entry.num_frames]
    np.testing.assert_array_equal(passer[~before], switched[~before])


def test_contact_sheet_is_a_grid():
    small = dataclasses.replace(TINY, num_train=0, num_test=2, edge_cases=False)
    sheet = contact_sheet.contact_sheet(small, 2, 2)
    assert sheet.shape == (2 * 64, 3 * 2 * 32, 3)


def test_builder_writes_what_the_world_renders(walkers_tiny, tiny):
    from data import prepare  # TensorFlow: for this test only

    builder = prepare.prepared("walkers/tiny", walkers_tiny)
    rendered = World(TINY)
    count = 0
    for split in ("train", "query", "gallery"):
        for example in builder.as_data_source(split=split):
            pid, camid, frames = tiny[split, example["tracklet"].decode()]
            assert (example["pid"], example["camid"]) == (pid, camid)
            for encoded, frame in zip(example["frames"], frames, strict=True):
                assert encoded == rendered.jpeg(camid, frame)
                with Image.open(io.BytesIO(encoded)) as decoded:
                    error = np.abs(np.asarray(decoded, float) - frame)
                assert 0 < error.mean() < 12
            count += 1
    assert count == len(tiny)


@pytest.mark.slow
def test_color_histogram_is_neither_a_gift_nor_a_riddle():
    rows, pids, camids = ([], []), ([], []), ([], [])
    sizes = SIZES["street_small"]
    for split in ("query", "gallery"):
        for _, _, pid, camid, frames in world.generate(sizes, split):
            side = int(split == "gallery")
            rows[side].append(color_histogram.stripe_histogram(frames).mean(0))
            pids[side].append(pid)
            camids[side].append(camid)
    query, gallery = (np.array(side) for side in rows)
    query_pids, gallery_pids = (np.array(side) for side in pids)
    query_camids, gallery_camids = (np.array(side) for side in camids)
    precisions = []
    for row, pid, camid in zip(query, query_pids, query_camids, strict=True):
        kept = (gallery_pids != pid) | (gallery_camids != camid)
        distances = np.linalg.norm(gallery[kept] - row, axis=1)
        ranks = np.flatnonzero(gallery_pids[kept][np.argsort(distances)] == pid) + 1
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    assert 0.3 <= np.mean(precisions) <= 0.6
