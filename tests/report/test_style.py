"""Pictures are written whole, say what they were made from, and are cropped."""

import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from reid_jax.report import style


def _canvas():
    canvas = style.new_figure(1, 1, layout=None)
    canvas.add_axes((0.25, 0.25, 0.5, 0.5)).plot([0, 1], [0, 1])
    return canvas


@pytest.mark.parametrize("text", ["step 12 of runs/demo", "Schritt 3, Läufe → ünten"])
def test_what_a_picture_was_made_from_comes_back(tmp_path, text):
    path = tmp_path / "new" / "folder" / "picture.png"
    style.save(_canvas(), path, made_from=text)
    assert style.made_from(path) == text
    assert type(style.made_from(str(path))) is str
    style.save(_canvas(), path)
    assert style.made_from(path) is None
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


def test_damaged_pictures_are_made_from_nothing(tmp_path):
    path = tmp_path / "picture.png"
    style.save(_canvas(), path, made_from="step 12")
    whole = path.read_bytes()
    # The last four bytes are the checksum of an empty chunk; they are not read.
    places = np.linspace(0, len(whole) - 5, 40).astype(int)
    for end in places:
        path.write_bytes(whole[:end])
        assert style.made_from(path) is None, f"cut off at byte {end}"
    for place in places:
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        )
        assert style.made_from(path) is None, f"byte {place} is another"


def test_other_files_are_made_from_nothing(tmp_path):
    assert style.made_from(tmp_path / "missing.png") is None
    assert style.made_from(tmp_path) is None
    image = PIL.Image.new("RGB", (4, 4))
    exif = PIL.Image.Exif()
    exif[270] = "step 12"  # ImageDescription
    image.save(tmp_path / "a.jpg", exif=exif, comment="step 12")
    assert style.made_from(tmp_path / "a.jpg") is None


def test_a_picture_that_fails_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    style.save(_canvas(), path, made_from="step 12")
    canvas = _canvas()

    def half(file, **_):
        file.write_bytes(path.read_bytes()[:100])
        raise RuntimeError("no more")

    monkeypatch.setattr(canvas, "savefig", half)
    with pytest.raises(RuntimeError, match="no more"):
        style.save(canvas, path)
    assert style.made_from(path) == "step 12"
    assert [file.name for file in tmp_path.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(
    ("suffix", "start"), [(".pdf", b"%PDF"), (".svg", b"<?xml"), (".png", b"\x89PNG")]
)
def test_the_suffix_says_the_format(tmp_path, suffix, start):
    style.save(_canvas(), tmp_path / f"picture{suffix}")
    assert (tmp_path / f"picture{suffix}").read_bytes().startswith(start)


def test_text_outside_the_figure_is_in_the_picture(tmp_path):
    canvas = _canvas()
    style.save(canvas, tmp_path / "a.png")
    canvas.axes[0].set_title("a title that is far longer than the figure is wide")
    style.save(canvas, tmp_path / "b.png")
    widths = []
    for name in ("a.png", "b.png"):
        with PIL.Image.open(tmp_path / name) as image:
            widths.append(image.width)
    assert widths[0] < 200 < 600 < widths[1]


def test_matplotlib_waits_until_something_is_drawn():
    code = (
        "import sys; from reid_jax.report import curves, network, strips\n"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
