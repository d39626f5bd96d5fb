"""Who is seen where in each world, and which sizes and styles make none."""

import collections
import dataclasses
import math
import re

import numpy as np
import pytest

from data.walkers import plan
from data.walkers.sizes import SIZES, Sizes
from data.walkers.style import Style

TINY = SIZES["tiny"]


@pytest.mark.parametrize("name", SIZES)
def test_splits_are_disjoint_and_every_query_has_a_match(name):
    sizes = SIZES[name]
    entries = plan.plan(sizes)
    pids = {s: {e.pid for e in entries if e.split == s} for s in ("train", "query")}
    assert pids["train"] == set(range(1, sizes.num_train + 1))
    everyone = set(range(1, sizes.num_train + sizes.num_test + 1))
    assert pids["query"] == everyone - pids["train"]
    gallery = [e for e in entries if e.split == "gallery"]
    assert {e.pid for e in gallery if e.pid > 0} == pids["query"]
    assert sum(e.pid == 0 for e in gallery) == sizes.num_distractors
    assert sum(e.pid == -1 for e in gallery) == sizes.num_junk
    for query in (e for e in entries if e.split == "query"):
        assert any(e.pid == query.pid and e.camid != query.camid for e in gallery)
    assert len({e.name for e in entries}) == len(entries)
    assert {e.camid for e in entries} == set(range(sizes.num_cameras))
    shortest, longest = sizes.num_frames
    usual = (
        entries if not sizes.edge_cases else [e for e in entries if e.num_frames > 1]
    )
    assert all(shortest <= e.num_frames <= longest for e in usual)


def test_street_small_has_the_promised_size():
    entries = plan.plan(SIZES["street_small"])
    assert 15_000 <= sum(e.num_frames for e in entries) <= 25_000
    seen = collections.defaultdict(set)
    for entry in entries:
        seen[entry.pid].add(entry.camid)
    assert len(seen) == 200
    assert np.mean([len(cameras) for cameras in seen.values()]) > 3.7


def test_tiny_has_its_edge_cases():
    entries = plan.plan(TINY)
    assert sum(e.pid == 1 for e in entries) == 1
    assert [e.split for e in entries if e.num_frames == 1] == ["gallery"]
    # Four persons with four clips can be drawn.
    per_person = collections.Counter(e.pid for e in entries if e.split == "train")
    assert len(per_person) == 8


def test_plan_does_not_depend_on_how_many_persons_there_are():
    sizes = SIZES["street_small"]
    few = dataclasses.replace(sizes, num_train=12, num_test=0)
    entries = plan.plan(sizes)
    assert plan.plan(few) == [e for e in entries if e.pid <= 12]


def test_lengths_of_street_are_those_of_mars():
    # MARS: 2 to 920 frames, median 32, quartiles 17 and 81 (its published index).
    lengths = [e.num_frames for e in plan.plan(SIZES["street"])]
    low, median, high = np.percentile(lengths, (25, 50, 75))
    assert (min(lengths), max(lengths)) == (2, 920)
    assert abs(median - 32) < 2
    assert abs(low - 17) < 2
    assert 55 < high < 85


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("median_frames", 50),
        ("num_train", 7),
        ("num_test", 2),
        ("num_cameras", 1),
        ("days", 3),
        ("unseen", 1.5),
        ("seed", -1),
        ("frame_width", 0),
        ("frame_height", 64.0),
        ("num_frames", (2,)),
        ("test_tracklets", (1, 2)),
        ("spread", math.nan),
        ("style", None),
    ],
)
def test_sizes_that_cannot_be_are_refused(field, value):
    with pytest.raises(ValueError, match=re.escape(f"{field}={value}")):
        Sizes(**{"twins": 4, field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dark", 2.0),
        ("switch", -1.0),
        ("occlusion", "x"),
        ("color", math.nan),
        ("elevation", 0.3),
        ("elevation", (1.4, 1.2)),
        ("figure_px", (0.0, 0.0)),
    ],
)
def test_styles_that_cannot_be_are_refused(field, value):
    style = Style(**{field: value})
    with pytest.raises(ValueError, match=re.escape(f"style.{field}={value} must be")):
        Sizes(style=style)


def test_a_person_without_company_has_no_edge_cases():
    with pytest.raises(ValueError, match="edge_cases=True needs persons"):
        Sizes(num_test=0, edge_cases=True)
