import collections
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from data.walkers import body, contact_sheet, world
from data.walkers.person import sample_person
from reid_jax import color_histogram

TINY = world.SIZES["tiny"]


def _chosen(sizes, pids, limit=100):
    return [e for e in world.plan(sizes) if e.pid in pids][:limit]


def _render(sizes, entries):
    return {e.name: frames for e, frames in world.World(sizes).render(entries)}


@pytest.fixture(scope="module")
def tiny():
    """{(split, name): (pid, camid, frames)} of the whole tiny world."""
    return {(split, name): rest for split, name, *rest in world.generate(TINY)}


def test_frames_have_the_planned_shapes_and_a_range_of_values(tiny):
    plan = world.plan(TINY)
    assert list(tiny) == [(e.split, e.name) for e in plan]
    for entry, (pid, camid, frames) in zip(plan, tiny.values(), strict=True):
        assert (pid, camid) == (entry.pid, entry.camid)
        assert frames.dtype == np.uint8
        assert frames.shape == (entry.num_frames, 64, 32, 3)
        assert frames.std() > 15
        assert np.ptp(frames) > 100


def test_frames_of_a_tracklet_differ_but_little(tiny):
    for _, _, frames in tiny.values():
        steps = np.abs(np.diff(frames.astype(float), axis=0))
        assert (steps.mean((1, 2, 3)) > 0.5).all()
        assert (steps.mean((1, 2, 3)) < 60).all()


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
    second = _render(many, _chosen(many, {2, 5}))
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


@pytest.mark.parametrize("name", ["tiny", "street_small"])
def test_splits_are_disjoint_and_every_query_has_a_match(name):
    sizes = world.SIZES[name]
    plan = world.plan(sizes)
    pids = {s: {e.pid for e in plan if e.split == s} for s in ("train", "query")}
    assert pids["train"] == set(range(1, sizes.num_train + 1))
    everyone = set(range(1, sizes.num_train + sizes.num_test + 1))
    assert pids["query"] == everyone - pids["train"]
    gallery = [e for e in plan if e.split == "gallery"]
    assert {e.pid for e in gallery} == pids["query"]
    for query in (e for e in plan if e.split == "query"):
        assert any(e.pid == query.pid and e.camid != query.camid for e in gallery)
    assert len({e.name for e in plan}) == len(plan)
    assert {e.camid for e in plan} == set(range(sizes.num_cameras))
    shortest, longest = sizes.num_frames
    usual = plan if not sizes.edge_cases else [e for e in plan if e.num_frames > 1]
    assert all(shortest <= e.num_frames <= longest for e in usual)


def test_street_small_has_the_promised_size():
    plan = world.plan(world.SIZES["street_small"])
    assert 15_000 <= sum(e.num_frames for e in plan) <= 20_000
    seen = collections.defaultdict(set)
    for entry in plan:
        seen[entry.pid].add(entry.camid)
    assert len(seen) == 160
    assert np.mean([len(cameras) for cameras in seen.values()]) > 3.7


def test_tiny_has_its_edge_cases():
    plan = world.plan(TINY)
    assert sum(e.pid == 1 for e in plan) == 1
    assert [e.split for e in plan if e.num_frames == 1] == ["gallery"]
    # Four persons with four clips can be drawn.
    per_person = collections.Counter(e.pid for e in plan if e.split == "train")
    assert len(per_person) == 8


def test_plan_does_not_depend_on_how_many_persons_there_are():
    sizes = world.SIZES["street_small"]
    few = dataclasses.replace(sizes, num_train=12, num_test=0)
    plan = world.plan(sizes)
    assert world.plan(few) == [e for e in plan if e.pid <= 12]


def test_lower_foot_stands_on_the_ground():
    person = sample_person(world._key(0, 7))
    for phase in np.linspace(0, 2 * np.pi, 7):
        parts = body.pose(person, phase, 1.0)
        lowest = np.min(np.asarray(parts.end)[:, 2])
        assert abs(lowest) < 0.09 * float(person.build.height)
        top = np.max(np.asarray(parts.end)[:, 2] + np.asarray(parts.cap)[:, 1])
        assert top == pytest.approx(float(person.build.height), rel=0.08)


def test_contact_sheet_is_a_grid():
    small = dataclasses.replace(TINY, num_train=0, num_test=2)
    sheet = contact_sheet.contact_sheet(small, 2, 2)
    assert sheet.shape == (2 * 64, 3 * 2 * 32, 3)


def test_builder_writes_what_the_world_renders(tmp_path, tiny):
    from data.walkers import walkers_dataset_builder  # TensorFlow: for this test only

    builder = walkers_dataset_builder.Builder(
        config="tiny", data_dir=tmp_path, file_format="array_record"
    )
    builder.download_and_prepare()
    rendered = world.World(TINY)
    count = 0
    for split in ("train", "query", "gallery"):
        for example in builder.as_data_source(split=split):
            pid, camid, frames = tiny[split, example["tracklet"].decode()]
            assert (example["pid"], example["camid"]) == (pid, camid)
            quality = rendered.quality(camid)
            for encoded, frame in zip(example["frames"], frames, strict=True):
                out = io.BytesIO()
                Image.fromarray(frame).save(out, "JPEG", quality=quality)
                assert encoded == out.getvalue()
            count += 1
    assert count == len(tiny)


@pytest.mark.slow
def test_color_histogram_is_neither_a_gift_nor_a_riddle():
    rows, pids, camids = ([], []), ([], []), ([], [])
    sizes = world.SIZES["street_small"]
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
