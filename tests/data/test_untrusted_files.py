"""Files that are small and say, or become, something enormous; and odd images."""

import io
import pathlib
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
        ValueError, match=r"weight\.npy has 192 bytes and says .* 4000000"
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
    monkeypatch.setattr(matlab, "LARGEST", 10)
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
