"""Whatever a file of a user holds, only our own errors come out, and quickly."""

import json
import pathlib
import zipfile

import hypothesis
import numpy as np
import pytest
import scipy.io
from hypothesis import strategies as st

from data.mars import index as mars
from data.sources import checks
from data.tracklet_folder import index as tracklet_folder
from data.videos import mot
from reid_jax.models import checkpoint_files
from tests import mars_layout, source_layouts

_fuzz = hypothesis.settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def station(tmp_path_factory):
    folder = tmp_path_factory.mktemp("station")
    source_layouts.write_tracklet_folder(folder)
    return folder


@pytest.fixture(scope="module")
def mars_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mars")
    mars_layout.write_mars_layout(folder, mars_layout.tiny_tracklets())
    return folder


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(repr),
    st.sampled_from(["", " ", "1e999", "0x10", "\u0661", "-0", "1_000", "nan", "1;2"]),
    st.text(max_size=5),
)


@_fuzz
@hypothesis.given(st.lists(st.lists(NUMBERS, max_size=8).map(",".join), max_size=6))
def test_tracks(tmp_path, lines):
    path = tmp_path / "tracks.txt"
    path.write_text("\n".join(["1,1,0,0,9,9", *lines]), errors="surrogatepass")
    try:
        tracks = mot.read_tracks(path).by_id
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert all(len(track.frames) == len(track.boxes) for track in tracks.values())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
    ),
    max_leaves=4,
)
ROWS = st.dictionaries(
    st.sampled_from(["frames", "pid", "camid", "split", "tracklet", "x"]),
    VALUES | st.sampled_from(["cam0/*", "../*", "/etc/*", "**", "train", "[", 1, 0]),
)


@_fuzz
@hypothesis.given(st.lists(ROWS, max_size=5))
def test_manifests_of_json(station, rows):
    lines = [json.dumps(row) for row in rows]
    (station / "tracklets.csv").unlink(missing_ok=True)
    (station / "tracklets.jsonl").write_text("\n".join(lines))
    _refused_or_whole(lambda: tracklet_folder.read_splits(station))


@_fuzz
@hypothesis.given(
    st.lists(
        st.lists(
            NUMBERS | st.sampled_from(['"', "cam0/bert/*", "train", "query", "../a"]),
            max_size=6,
        ).map(",".join),
        max_size=6,
    ),
    st.booleans(),
)
def test_manifests_of_csv(station, rows, has_header):
    header = ["frames,pid,camid,split,tracklet"] * has_header
    (station / "tracklets.jsonl").unlink(missing_ok=True)
    text = "\n".join([*header, *rows])
    (station / "tracklets.csv").write_text(text, errors="surrogatepass")
    _refused_or_whole(lambda: tracklet_folder.read_splits(station))


@_fuzz
@hypothesis.given(
    st.lists(
        st.text("0123456789CTF-.jpg/\\ \0", max_size=24)
        | st.sampled_from(["0001C1T0001F001.jpg", "../../x", "00-1C1T0001F001.jpg"]),
        max_size=5,
    ),
    st.sampled_from(["train", "test"]),
)
def test_names_of_mars(mars_folder, names, part):
    path = mars_folder / "info" / f"{part}_name.txt"
    whole = path.read_text()
    try:
        path.write_text("\n".join([*whole.splitlines()[:-1], *names]))
        _refused_or_whole(lambda: mars.read_splits(mars_folder))
    finally:
        path.write_text(whole)


@_fuzz
@hypothesis.given(
    st.integers(0, 5),
    st.integers(0, 3),
    st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 20),
    st.sampled_from([np.int32, np.float64, object]),
)
def test_tables_of_mars(mars_folder, row, column, value, dtype):
    path = mars_folder / "info" / "tracks_test_info.mat"
    whole = path.read_bytes()
    try:
        table = scipy.io.loadmat(path)["track_test_info"].astype(dtype)
        table[row % len(table), column] = value
        scipy.io.savemat(path, {"track_test_info": table})
        _refused_or_whole(lambda: mars.read_splits(mars_folder))
    finally:
        path.write_bytes(whole)


@_fuzz
@hypothesis.given(
    st.dictionaries(
        st.text(max_size=4) | st.just("__metadata__"),
        VALUES
        | st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F64", "I64", "BOOL", "X"]),
                "shape": st.lists(st.integers(-1, 2**62), max_size=3),
                "data_offsets": st.lists(st.integers(-1, 2**62), max_size=3),
            }
        ),
        max_size=3,
    ),
    st.integers(0, 2**64 - 1) | st.none(),
    st.binary(max_size=64),
)
def test_headers_of_safetensors(tmp_path, header, length, data):
    text = json.dumps(header).encode()
    path = tmp_path / "net.safetensors"
    count = len(text) if length is None else length
    path.write_bytes(count.to_bytes(8, "little") + text + data)
    _refused_or_read(path)


@_fuzz
@hypothesis.given(
    st.lists(st.integers(-1, 2**62), max_size=3),
    st.sampled_from(["<f4", "<f8", "|O", "<U9", "<c16", "x", "<f4, <f8"]),
    st.booleans(),
)
def test_headers_of_npz(tmp_path, shape, dtype, fortran):
    """Small files that say they are large."""
    header = {"descr": dtype, "fortran_order": fortran, "shape": tuple(shape)}
    text = repr(header).encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(64)
    path = tmp_path / "net.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("conv1.weight.npy", content)
    _refused_or_read(path)


def _refused_or_whole(read_splits) -> None:
    try:
        splits = read_splits()
    except checks.SourceError as error:
        assert error.problems
    else:
        assert set(splits) == {"train", "query", "gallery"}


def _refused_or_read(path: pathlib.Path) -> None:
    try:
        arrays = checkpoint_files.read_checkpoint(path)
    except ValueError as error:
        assert path.name in str(error)
    else:
        assert all(isinstance(array, np.ndarray) for array in arrays.values())
