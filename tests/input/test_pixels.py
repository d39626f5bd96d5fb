"""reid_jax/input/pixels.py: every convention by hand."""

import numpy as np
import pytest

from reid_jax.input import pixels

RED, GREEN, BLUE = 0, 255, 128


def _one_pixel(normalization, **given):
    clips = np.array([RED, GREEN, BLUE], np.uint8).reshape(1, 1, 1, 1, 3)
    return pixels.normalize(clips, normalization, **given)[0, 0, 0, 0]


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        (
            "imagenet",
            [-0.485 / 0.229, (1 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225],
        ),
        ("kinetics", [0 - 114.7748, 255 - 107.7354, 128 - 99.4750]),
        (
            "kinetics_std",
            [-0.4345 / 0.2768, (1 - 0.4051) / 0.2713, (128 / 255 - 0.3775) / 0.2737],
        ),
        ("c3d", [128 - 90.25, 255 - 97.66, 0 - 101.41]),
    ],
)
def test_by_hand(normalization, expected):
    np.testing.assert_allclose(_one_pixel(normalization), expected, rtol=1e-5)


def test_the_cube_is_subtracted_from_bgr():
    cube = np.array([1, 20, 300], "f").reshape(1, 1, 1, 3)
    values = _one_pixel("c3d_cube", mean_cube=cube)
    np.testing.assert_allclose(values, [128 - 1, 255 - 20, 0 - 300], rtol=1e-6)


def test_conventions_that_do_not_fit():
    with pytest.raises(ValueError, match="normalization='caffe' is unknown"):
        _one_pixel("caffe")
    with pytest.raises(ValueError, match="'c3d_cube' needs a mean cube"):
        _one_pixel("c3d_cube")
    with pytest.raises(ValueError, match="'c3d' has no mean cube"):
        _one_pixel("c3d", mean_cube=np.zeros((1, 1, 1, 3), "f"))


@pytest.fixture
def cube():
    return np.random.default_rng(0).normal(size=pixels.CUBE_SHAPE).astype("f")


def _binaryproto(cube: np.ndarray) -> bytes:
    """A Caffe BlobProto: num, channels, height, width, packed data, packed diff."""

    def varint(value: int) -> bytes:
        low, rest = value & 0x7F, value >> 7
        return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])

    data = cube.astype("<f4").tobytes()
    sizes = b"".join(
        bytes([field << 3]) + varint(n) for field, n in enumerate(cube.shape, 1)
    )
    packed = bytes([5 << 3 | 2]) + varint(len(data)) + data
    return sizes + packed + bytes([6 << 3 | 2]) + varint(4) + bytes(4)


def test_reading_the_cube(tmp_path, cube):
    np.save(tmp_path / "cube.npy", cube[None])
    (tmp_path / "cube.binaryproto").write_bytes(_binaryproto(cube))
    for name in ("cube.npy", "cube.binaryproto"):
        middle = pixels.read_mean_cube(tmp_path / name, (16, 112, 112))
        assert middle.shape == (16, 112, 112, 3)
        np.testing.assert_array_equal(middle[3, 0, 0], cube[:, 3, 8, 29])
        whole = pixels.read_mean_cube(tmp_path / name, (2, 128, 171))
        np.testing.assert_array_equal(whole, np.moveaxis(cube[:, :2], 0, -1))


def test_cubes_that_cannot_be(tmp_path, cube):
    with pytest.raises(ValueError, match="No mean cube"):
        pixels.read_mean_cube(tmp_path / "absent.npy", (16, 112, 112))
    np.save(tmp_path / "turned.npy", cube.swapaxes(0, 1))
    with pytest.raises(ValueError, match=r"shape \(16, 3, 128, 171\); C3D's cube is"):
        pixels.read_mean_cube(tmp_path / "turned.npy", (16, 112, 112))
    for content in (b"", b"\xff" * 9, b"\x2a\x90", _binaryproto(cube[:1])):
        (tmp_path / "bad.binaryproto").write_bytes(content)
        with pytest.raises(ValueError, match=r"is no mean cube|has shape"):
            pixels.read_mean_cube(tmp_path / "bad.binaryproto", (16, 112, 112))
    np.save(tmp_path / "cube.npy", cube)
    with pytest.raises(ValueError, match="asks for 17 of 112×112"):
        pixels.read_mean_cube(tmp_path / "cube.npy", (17, 112, 112))
