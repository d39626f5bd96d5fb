"""`benchmarks/real_video.py`: thirds of tracks that must or cannot be found."""

import numpy as np
import pytest

from benchmarks import real_video
from tests.source_layouts import write_video

RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 200, 30)


def _video(folder, colors):
    """Two persons side by side for 12 frames; colours of their thirds."""
    images = np.zeros((12, 64, 64, 3), np.uint8)
    rows = []
    for person, thirds in enumerate(colors):
        for t in range(12):
            images[t, :, 32 * person : 32 * person + 32] = thirds[t // 4]
            rows.append(f"{t + 1},{person},{32 * person},0,32,64")
    write_video(folder / "street.mkv", images)
    (folder / "tracks.txt").write_text("\n".join(rows))
    return [f"--video={folder}/street.mkv", f"--tracks={folder}/tracks.txt"]


@pytest.mark.parametrize(
    ("colors", "expected"),
    [
        (((RED, GREEN, RED), (BLUE, GREEN, BLUE)), "100.0 / 100.0"),
        (((RED, GREEN, BLUE), (BLUE, GREEN, RED)), "50.0 / 0.0"),
    ],
)
def test_the_first_third_looks_for_the_last(tmp_path, capsys, colors, expected):
    real_video.main([*_video(tmp_path, colors), "--min_frames=12"])
    out = capsys.readouterr().out
    assert "2 tracks; a random order: CMC-1 50.0" in out
    assert f"| colour histogram | {expected} |" in out


def test_one_track_is_too_few(tmp_path, capsys):
    with pytest.raises(SystemExit):
        real_video.main([*_video(tmp_path, ((RED,) * 3,)), "--min_frames=5"])
    assert "has 1 tracks of 5 boxes or more; two are needed" in capsys.readouterr().err
