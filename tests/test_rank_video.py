"""docs/rank_video.py: the tracks of a video, ranked by a trained run."""

import numpy as np
import pytest

import train
from docs import rank_video
from tests.source_layouts import write_video


def test_tracks_of_a_video_are_ranked(tmp_path, tiny_run, capsys):
    tiny_run.train.max_steps = 1
    train.train(tiny_run, tmp_path)
    # Two persons in plain colours, each there twice; at no time with themselves.
    images = np.zeros((12, 64, 64, 3), np.uint8)
    rows = []
    for track, (first, left, color) in enumerate(
        [(0, 0, (200, 30, 30)), (0, 32, (30, 30, 200)), (6, 0, (30, 30, 200))]
    ):
        images[first : first + 6, :, left : left + 32] = color
        rows += [f"{first + t + 1},{track},{left},0,32,64" for t in range(6)]
    write_video(tmp_path / "street.mkv", images)
    (tmp_path / "tracks.txt").write_text("\n".join(rows))
    arguments = [tmp_path / name for name in ("", "street.mkv", "tracks.txt")]
    rank_video.rank_video(*map(str, arguments), tmp_path / "video", min_frames=2)
    assert (tmp_path / "video" / "ranked_tracks.png").stat().st_size > 1000
    assert "track 2: track 1" in capsys.readouterr().out
    with np.load(tmp_path / "video" / "tracks.npz") as stored:
        assert stored["distances"].shape == (3, 3)
    with pytest.raises(ValueError, match="0 tracks of at least 7 boxes"):
        rank_video.rank_video(*map(str, arguments), tmp_path / "video", min_frames=7)
