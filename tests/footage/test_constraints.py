"""reid_jax/footage/constraints.py: nobody is in two places at a time."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_jax.footage.constraints import Constraints


def _whole(constraints, num):
    return constraints(np.arange(num), np.arange(num))


def test_by_hand():
    frames = [np.array(f) for f in ([1, 2, 5], [3, 4], [5, 6], [1, 2])]
    recording, camera = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1])
    whole = _whole(Constraints(frames, recording, camera), 4)
    # Tracks 0 and 1 have no frame in common, though one is inside the other.
    assert np.argwhere(whole).tolist() == [[0, 2], [2, 0]]
    times = np.array([[0.0, 4.0], [2.0, 3.0], [4.0, 5.0], [4.0, 9.0]])
    whole = _whole(Constraints(frames, recording, camera, times), 4)
    assert np.argwhere(np.triu(whole)).tolist() == [[0, 2], [0, 3], [2, 3]]


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_every_pair_that_shares_a_frame(data):
    numbers = st.lists(st.integers(1, 12), min_size=1, max_size=6, unique=True)
    tracks = data.draw(st.lists(st.tuples(st.integers(0, 1), numbers), max_size=9))
    frames = [np.array(sorted(each)) for _, each in tracks]
    recording = np.array([each for each, _ in tracks], int)
    num = len(tracks)
    whole = _whole(Constraints(frames, recording, recording), num)
    for i in range(num):
        for j in range(num):
            shares = bool(set(tracks[i][1]) & set(tracks[j][1]))
            together = i != j and recording[i] == recording[j] and shares
            assert whole[i, j] == together
    some = np.arange(num)[::2]
    constraints = Constraints(frames, recording, recording)
    np.testing.assert_array_equal(constraints(some, some), whole[::2, ::2])
