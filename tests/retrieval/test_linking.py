"""reid_jax/retrieval/linking.py: constrained average linkage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster import hierarchy
from scipy.spatial import distance

from reid_jax.errors import UserError
from reid_jax.retrieval import linking


def _nothing(rows, columns):
    return np.zeros((len(rows), len(columns)), bool)


def _pairs(*pairs):
    """The function that forbids these pairs."""

    def forbidden(rows, columns):
        both = {(a, b) for a, b in pairs} | {(b, a) for a, b in pairs}
        return np.array([[(r, c) in both for c in columns] for r in rows], bool)

    return forbidden


def _on_a_line(*places):
    return np.array(places, np.float32)[:, None]


def test_by_hand():
    x = _on_a_line(0, 1, 5, 6, 20)
    assert linking.link(x, 2, _nothing).labels.tolist() == [0, 0, 1, 1, 2]
    # The mean of 4, 5, 5 and 6 is 5: a pair at 6 may be in one person.
    assert linking.link(x, 5, _nothing).labels.tolist() == [0, 0, 0, 0, 1]
    assert linking.link(x, 4.9, _nothing).labels.tolist() == [0, 0, 1, 1, 2]


def test_a_forbidden_pair_keeps_persons_apart():
    x = _on_a_line(0, 1, 5, 6)
    links = linking.link(x, 5, _pairs((0, 3)))
    assert links.labels.tolist() == [0, 0, 1, 1]
    assert linking.link(x, 6, _pairs((0, 1), (2, 3))).labels.tolist() == [0, 1, 1, 0]


def _random_case(seed, num):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 3)).astype(np.float32)
    pairs = rng.random((num, num)) < 0.2
    return x, _pairs(*np.argwhere(np.triu(pairs, 1)).tolist())


@given(st.integers(0, 2**32), st.integers(1, 25), st.floats(0.1, 4))
@settings(max_examples=40, deadline=None)
def test_constraints_hold_and_it_is_the_whole_tree_cut(seed, num, threshold):
    x, forbidden = _random_case(seed, num)
    links = linking.link(x, threshold, forbidden)
    everybody = np.arange(num)
    together = links.labels[:, None] == links.labels
    is_forbidden = forbidden(everybody, everybody)
    assert not (together & is_forbidden).any()
    matrix = distance.cdist(x.astype(float), x.astype(float))
    matrix[is_forbidden] = 1e30
    if num > 1:
        condensed = distance.squareform(matrix, checks=False)
        tree = hierarchy.linkage(condensed, "average")
        expected = hierarchy.fcluster(tree, threshold, "distance")
        np.testing.assert_array_equal(together, expected[:, None] == expected)
    plain = distance.cdist(x.astype(float), x.astype(float))
    near = set(map(tuple, links.as_near.tolist()))
    for track in range(num):
        others = together[track] & (everybody != track)
        own_distance = plain[track, others].mean() if others.any() else np.nan
        np.testing.assert_allclose(links.distance[track], own_distance, rtol=1e-6)
        for person in set(links.labels.tolist()) - {int(links.labels[track])}:
            members = links.labels == person
            is_possible = not is_forbidden[track, members].any()
            # Only persons of the track's component are looked at.
            is_connected = (matrix[track, members] <= threshold).any()
            if (
                is_connected
                and is_possible
                and plain[track, members].mean() < own_distance
            ):
                assert (track, person) in near
            if (track, person) in near:
                assert (
                    is_possible and plain[track, members].mean() <= own_distance + 1e-6
                )


def test_a_track_that_is_as_near_to_somebody_else():
    """The one in the middle could be either of two who are not one."""
    links = linking.link(_on_a_line(0, 2, 4), 3, _pairs((0, 2)))
    assert links.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(links.distance, [2, 2, np.nan])
    assert links.as_near.tolist() == [[1, 1]]


@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_as_many_persons_as_asked_for(seed, num, num_persons):
    x, forbidden = _random_case(seed, num)
    try:
        links, threshold = linking.link_into(num_persons, x, forbidden)
    except UserError as error:
        assert "too few" in str(error) or num_persons > num
        return
    assert len(set(links.labels.tolist())) == num_persons
    everybody = np.arange(num)
    together = links.labels[:, None] == links.labels
    assert not (together & forbidden(everybody, everybody)).any()
    np.testing.assert_array_equal(
        linking.link(x, threshold, forbidden).labels, links.labels
    )


def test_numbers_of_persons_that_cannot_be():
    x = _on_a_line(0, 1, 2)
    with pytest.raises(UserError, match="must be from 1 to the 3 tracks"):
        linking.link_into(4, x, _nothing)
    with pytest.raises(UserError, match=r"is too few: .* at least 2"):
        linking.link_into(1, x, _pairs((0, 2)))


def test_memory_is_asked_for_before_it_is_taken():
    x = np.zeros((200, 2), np.float32)
    with pytest.raises(UserError, match=r"connects 200 of 200 tracks: .* 0\.000320 GB"):
        linking.link(x, 1, _nothing, memory_gb=1e-4)
    # Each ten of them are far from the others: no component is large.
    x += 100 * np.arange(20).repeat(10)[:, None]
    labels = linking.link(x, 1, _nothing, memory_gb=1e-4).labels
    assert labels.tolist() == np.arange(20).repeat(10).tolist()


def test_cosine_does_not_see_lengths():
    x = np.array([[1, 0], [9, 0], [0, 2]], np.float32)
    assert linking.link(x, 0.5, _nothing, metric="cosine").labels.tolist() == [0, 0, 1]
    np.testing.assert_allclose(
        linking.distance_matrix(x, x, "cosine"),
        distance.cdist(x, x, "cosine"),
        atol=1e-12,
    )
