"""Files that are small and say, or become, something enormous; and odd images."""

import io
import pathlib
import re
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
import scipy.io
import tensorflow as tf
from PIL import Image

from data.sources import checks, matlab
from data.videos import pictures
from reid_jax.errors import UserError
from reid_jax.input import files
from reid_jax.models import checkpoint_files


@pytest.mark.parametrize("name", ["net.npz", "net.pth"])
def test_weights_that_unpack_to_far_more_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(checkpoint_files, "_LARGEST_UNPACKED", 2**20)
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**21))
    with pytest.raises(ValueError, match=rf"{name} was refused: .* unpack to 2097152"):
        checkpoint_files.read_checkpoint(path)


def test_an_array_that_says_it_is_larger_than_it_is(tmp_path):
    path = tmp_path / "net.npz"
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**6,)}
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, header)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weight.npy", content.getvalue() + bytes(64))
    with pytest.raises(
        ValueError, match=r"weight\.npy has 192 bytes, and says .* 4000000"
    ):
        checkpoint_files.read_checkpoint(path)


def test_zeros_of_a_usual_size_are_weights(tmp_path):
    np.savez_compressed(tmp_path / "net.npz", weight=np.zeros(2**20, np.float32))
    weights = checkpoint_files.read_checkpoint(tmp_path / "net.npz")
    assert weights["weight"].shape == (2**20,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 4)), "has 12 entries: no index"),
        (np.array([[1, "a"]], object), "is not a matrix of whole numbers"),
        ({"field": [1.0]}, "is not a matrix of whole numbers"),
        (np.array(["text"]), "is not a matrix of whole numbers"),
    ],
)
def test_matrices_that_are_no_index(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(matlab, "MAX_ENTRIES", 10)
    path = tmp_path / "index.mat"
    scipy.io.savemat(path, {"ls_set": content}, do_compression=True)

    def refuses(*args, **kwargs):
        raise AssertionError("was read before it was refused")

    monkeypatch.setattr(scipy.io, "loadmat", refuses)
    problems = []
    assert matlab.read_matrix(path, "ls_set", problems) is None
    assert problems == [f"{tmp_path.name}/index.mat: 'ls_set' {message}"]


def _jpeg(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def _enlarged_jpeg(height: int, width: int) -> bytes:
    image = bytearray(_jpeg(Image.new("RGB", (8, 8))))
    start = image.index(b"\xff\xc0") + 5
    image[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(image)


def _enlarged_png(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    image = bytearray(file.getvalue())
    start = image.index(b"IHDR")
    image[start + 4 : start + 12] = struct.pack(">II", side, side)
    image[start + 17 : start + 21] = zlib.crc32(image[start : start + 17]).to_bytes(4)
    return bytes(image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (_enlarged_jpeg(6000, 7000), "7000×6000 pixels, more than 33177600"),
        (_enlarged_jpeg(65500, 65500), "more than 33177600 pixels"),
        (_enlarged_png(2**31 - 1), "more than 33177600 pixels"),
    ],
)
def test_images_that_say_they_are_enormous(image, message):
    assert checks.damage(image) == message


def test_turned_images_are_refused():
    for orientation in (0, 1, 6, 8, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("JPEG", "PNG"):
            file = io.BytesIO()
            Image.new("RGB", (8, 16)).save(file, kind, exif=exif)
            damage = checks.damage(file.getvalue())
            if orientation in (6, 8):
                expected = f"to be turned (EXIF orientation {orientation}): save it up"
                assert damage.startswith(expected)
            else:
                assert damage is None


def test_values_of_more_than_8_bits_are_refused(tmp_path):
    values = np.array([[0, 255, 256, 40000]], np.uint16)
    for name, expected in (("PNG", "I;16"), ("TIFF", "I;16")):
        path = tmp_path / f"1.{name.lower()}"
        Image.fromarray(values).save(path, name)
        message = f"values of more than 8 bits ({expected}): save it with 8"
        if name == "PNG":
            assert checks.damage(path.read_bytes()) == message
        with pytest.raises(UserError, match=re.escape(f"it has {message}")):
            pictures.read(path)
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "1.tif")
    with pytest.raises(UserError, match=r"more than 8 bits \(F\)"):
        pictures.read(tmp_path / "1.tif")


def test_sixteen_bits_of_three_channels_are_their_upper_eight(tmp_path):
    values = np.arange(12, dtype=np.uint16).reshape(2, 2, 3) * 5000
    encoded = _png16(values)
    assert checks.damage(encoded) is None
    (tmp_path / "1.png").write_bytes(encoded)
    np.testing.assert_array_equal(pictures.read(tmp_path / "1.png"), values >> 8)
    decoded = tf.io.decode_jpeg(encoded, channels=3).numpy()
    np.testing.assert_array_equal(decoded, values >> 8)


def test_prepared_sixteen_bits_are_shown_as_they_are_decoded():
    values = np.arange(8, dtype=np.uint16).reshape(2, 4) * 8000
    encoded = io.BytesIO()
    Image.fromarray(values).save(encoded, "PNG")
    decoded = tf.io.decode_jpeg(encoded.getvalue(), channels=3).numpy()
    shown = files._rgb(Image.open(io.BytesIO(encoded.getvalue())))
    np.testing.assert_array_equal(shown, decoded)


def _png16(values: np.ndarray) -> bytes:
    """A PNG of three channels of 16 bits, which Pillow does not write."""
    height, width, _ = values.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        size, checksum = len(content), zlib.crc32(name + content)
        return struct.pack(">I", size) + name + content + struct.pack(">I", checksum)

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def test_headers_are_read_without_the_pixels(monkeypatch):
    def load(image):
        raise AssertionError("was decoded")

    small = io.BytesIO()
    Image.new("L", (8, 8)).save(small, "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert checks.damage(small.getvalue()) is None
    assert checks.damage(_enlarged_png(13000)).startswith("13000×13000 pixels, more")


def test_cmyk_becomes_the_rgb_that_pillow_makes_of_it():
    colors = np.random.default_rng(0).integers(0, 256, (2, 2, 3), np.uint8)
    plain = Image.fromarray(colors).resize((32, 32), Image.Resampling.NEAREST)
    encoded = _jpeg(plain.convert("CMYK"), quality=95)
    assert Image.open(io.BytesIO(encoded)).mode == "CMYK"
    assert checks.damage(encoded) is None
    ours = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    expected = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"), int)
    assert np.abs(ours.numpy() - expected).max() <= 2


def test_an_old_archive_of_torch_is_not_unpacked(tmp_path):
    pytest.importorskip("torch", reason="the optional extra that reads .pth")
    path = tmp_path / "net.pth.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("../outside")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    with pytest.raises(ValueError, match=r"net\.pth\.tar was refused"):
        checkpoint_files.read_checkpoint(path)
    assert not (tmp_path.parent / "outside").exists()


def test_names_in_an_archive_are_names_only(tmp_path):
    np.savez(tmp_path / "net.npz", **{"../../outside": np.ones(3, np.float32)})
    before = set(pathlib.Path(tmp_path).parent.rglob("outside*"))
    assert list(checkpoint_files.read_checkpoint(tmp_path / "net.npz")) == [
        "../../outside"
    ]
    assert set(pathlib.Path(tmp_path).parent.rglob("outside*")) == before
