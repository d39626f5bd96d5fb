"""python -m reid_jax.footage: persons over several videos, by a trained run."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import evaluate
from reid_jax import peers
from reid_jax.errors import UserError
from reid_jax.footage import __main__ as footage
from reid_jax.footage import agreement, appearances, cameras, embedding, tracks
from reid_jax.runs import folder as run_folder
from reid_jax.runs.run import Run
from tests import ROOT
from tests.source_layouts import write_video

RED, BLUE, GREEN = (200, 30, 30), (30, 30, 200), (30, 170, 30)
NUM_FRAMES = 12

# Camera → track → first frame, number of frames, left, colour. Red passes the hall
# twice and the gate once; green is seen at the gate only.
STREET = {
    "hall": {1: (1, 6, 0, RED), 2: (1, 12, 32, BLUE), 3: (7, 6, 0, RED)},
    "gate": {1: (1, 9, 0, RED), 2: (1, 12, 32, GREEN), 7: (11, 2, 64, BLUE)},
}
PERSONS = {("hall", 1): "r", ("hall", 3): "r", ("gate", 1): "r", ("hall", 2): "b"}


@pytest.fixture(scope="module")
def workdir(trained, tmp_path_factory):
    """A run with a checkpoint and thresholds, which may keep embeddings."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("copy") / "run")
    config = run_folder.load_config(folder)
    evaluate.evaluate(config, folder)
    return folder


@pytest.fixture
def station(tmp_path):
    """Two cameras, and station.csv."""
    lines = ["camera,video,tracks,start"]
    for camera, shown in STREET.items():
        rng = np.random.default_rng(len(lines))
        images = rng.integers(90, 110, (NUM_FRAMES, 64, 96, 3), np.uint8)
        rows = []
        for track, (first, number, left, color) in shown.items():
            for frame in range(first, first + number):
                images[frame - 1, :, left : left + 32] = color
                rows.append(f"{frame},{track},{left},0,32,64,0.9,-1,-1,-1")
        write_video(tmp_path / f"{camera}.mkv", images)
        (tmp_path / f"{camera}.txt").write_text("\n".join(rows) + "\n")
        start = f"2026-11-29 08:0{len(lines)}:00"
        lines.append(f"{camera},{camera}.mkv,{camera}.txt,{start}")
    path = tmp_path / "station.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _run(command, workdir, station, out, *flags):
    footage.main(
        [
            command,
            f"--workdir={workdir}",
            f"--cameras={station}",
            f"--out={out}",
            *flags,
        ]
    )


def _table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_link(workdir, station, capsys):
    out = station.parent / "linked"
    labels = station.parent / "labels.csv"
    rows = [f"{camera},{track},{who}" for (camera, track), who in PERSONS.items()]
    labels.write_text("\n".join(["camera,track,person", *rows]))
    flags = ("--persons=3", "--min_frames=3", f"--labels={labels}")
    _run("link", workdir, station, out, *flags)
    printed = capsys.readouterr().out
    assert (
        "tracks: 5, persons: 3, with several tracks: 1, in several cameras: 1"
        in printed
    )
    assert "pairs: precision 100.0 %, recall 100.0 %, F1 100.0 %" in printed
    table = _table(out / "persons.csv")
    found = {(row["camera"], int(row["track"])): int(row["person"]) for row in table}
    assert found == {
        ("hall", 1): 1, ("hall", 3): 1, ("gate", 1): 1, ("hall", 2): 2, ("gate", 2): 3
    }  # fmt: skip
    assert table[0]["first_time"] == "2026-11-29 08:01:00"
    assert table[0]["last_frame"] == "6"
    page = (out / "persons.html").read_text()
    assert "Person 1: 3 tracks, 2 cameras" in page and "Not linked: 2 tracks" in page
    assert "http" not in page  # needs no other file
    for camera, shown in STREET.items():
        before = (station.parent / f"{camera}.txt").read_text().splitlines()
        after = (out / f"{camera}.txt").read_text().splitlines()
        assert len(after) == len(before)
        for old, new in zip(before, after, strict=True):
            old, new = old.split(","), new.split(",")
            assert old[:1] + old[2:] == new[:1] + new[2:]
            # A track that is too short has a number of its own, after all persons.
            number = found.get((camera, int(old[1])), 4)
            assert int(new[1]) == number and len(shown) == 3
    with np.load(out / "embeddings.npz") as stored:
        assert stored["embeddings"].shape[0] == 5
        assert stored["camera"].tolist() == ["hall"] * 3 + ["gate"] * 2
        np.testing.assert_allclose(stored["seconds"][0], [0, 5 / 25])


def test_the_threshold_of_a_rate_is_that_of_the_run(workdir, station, capsys):
    _run("link", workdir, station, station.parent / "out", "--false_links=0.3")
    printed = capsys.readouterr().out
    folder = workdir / "eval" / "walkers-tiny"
    curve = json.loads((folder / "calibration.json").read_text())["metrics"]["l2"]
    i = np.searchsorted(curve["fpr"], 0.3, side="right") - 1
    assert f"l2 distance up to {curve['distance'][i]:.4g}: on walkers/tiny" in printed


def test_search_by_track_and_by_picture(workdir, station, capsys):
    out = station.parent / "found"
    path = station.parent / "red.png"
    Image.new("RGB", (32, 64), RED).save(path)
    flags = ("--min_frames=3", "--top=2", "--query", "hall:1", str(path))
    _run("search", workdir, station, out, *flags)
    table = _table(out / "found.csv")
    names = [(r["query"], r["rank"], r["camera"], r["track"]) for r in table]
    assert set(names[:2]) == {
        ("hall:1", str(rank), *track)
        for rank, track in zip((1, 2), (("hall", "3"), ("gate", "1")), strict=True)
    } or set(names[:2]) == {
        ("hall:1", str(rank), *track)
        for rank, track in zip((1, 2), (("gate", "1"), ("hall", "3")), strict=True)
    }
    assert {name[0] for name in names[2:]} == {"red.png"}
    assert all(name[2:] != ("hall", "2") for name in names[2:])
    assert "1 other is there at the same time" in (out / "found.html").read_text()


def test_everybody_is_in_the_picture_all_the_time(workdir, station, capsys):
    arguments = [
        f"--video={station.parent / 'gate.mkv'}",
        f"--tracks={station.parent / 'gate.txt'}",
        f"--workdir={workdir}",
        f"--out={station.parent / 'found'}",
    ]
    footage.main(["search", *arguments, "--query", "gate:1"])
    assert "every other track is in the picture at the same" in capsys.readouterr().out
    assert (station.parent / "found" / "embeddings.npz").exists()


def test_what_was_embedded_is_used_again(workdir, station, monkeypatch):
    out = station.parent / "all.npz"
    _run("embed", workdir, station, out)
    first = np.load(out)["embeddings"]
    calls = []
    embed = Run.embed_clips
    monkeypatch.setattr(
        Run, "embed_clips", lambda *args: calls.append(1) or embed(*args)
    )
    _run("embed", workdir, station, out)
    assert not calls
    np.testing.assert_array_equal(np.load(out)["embeddings"], first)
    tracks = station.parent / "gate.txt"
    tracks.write_text(tracks.read_text().replace("32,0,32,64", "40,0,32,64"))
    _run("embed", workdir, station, out)
    assert len(calls) == 1  # of the camera whose tracks changed
    assert not np.array_equal(np.load(out)["embeddings"], first)


def _embed(workdir, recordings, **settings):
    plan = tracks.read(recordings, tracks.Settings(**settings))
    return plan, embedding.embed(Run(workdir), plan, cache_folder=None)


def test_embeddings_are_those_of_the_crops(workdir, station):
    """They equal those of `Run.embed`, though clips of all tracks come mixed."""
    folder = station.parent
    recordings = cameras.single(folder / "hall.mkv", folder / "hall.txt")
    _, seen = _embed(workdir, recordings, min_frames=1, every=2)
    assert seen.frames[0].tolist() == [1, 2, 3, 4, 5, 6]
    crops = [
        np.broadcast_to(np.uint8(color), (64, 32, 3)) for color in (RED, BLUE, RED)
    ]
    expected = Run(workdir).embed([[crop] * 3 for crop in crops])
    np.testing.assert_allclose(seen.embeddings, expected, atol=1e-4)
    assert [len(pictures) for pictures in seen.pictures] == [3, 3, 3]


def test_lines_that_are_nobody_s_are_left_out_of_the_new_tracks(workdir, station):
    """A car with a person's old number would be that person else."""
    folder = station.parent
    lines = (folder / "gate.txt").read_text()
    (folder / "gate.txt").write_text(
        f"# by a tracker\n{lines}5,-1,0,0,9,9\n3,1,0,0,32,64\n"
    )
    out = folder / "linked"
    _run("link", workdir, station, out, "--persons=3", "--min_frames=3")
    new = (out / "gate.txt").read_text().splitlines()
    assert new[0] == "# by a tracker" and len(new) == len(lines.splitlines()) + 1


def test_two_videos_of_one_camera(workdir, station, capsys):
    text = station.read_text().replace("\ngate,", "\nhall,")
    station.write_text(text)
    out = station.parent / "linked"
    _run("link", workdir, station, out, "--persons=3", "--min_frames=3")
    written = {path.name for path in out.iterdir() if path.name[0] != "."}
    assert {"hall_1.txt", "hall_2.txt"} < written
    assert {row["camera"] for row in _table(out / "persons.csv")} == {"hall"}
    found = station.parent / "found"
    with pytest.raises(SystemExit):
        _run("search", workdir, station, found, "--min_frames=3", "--query", "hall:1")
    assert "say hall_1:1 or hall_2:1" in capsys.readouterr().err
    flags = ("--min_frames=3", "--query", "hall_2:1", "hall:3")
    _run("search", workdir, station, found, *flags)
    # Another list into the same folder: nothing of the old one stays.
    station.write_text(text.replace("hall,gate", "gate,gate"))
    _run("link", workdir, station, out, "--persons=3", "--min_frames=3")
    written = {path.name for path in out.iterdir()}
    assert {"hall.txt", "gate.txt"} < written and "hall_1.txt" not in written


def test_cameras_of_places_that_do_not_overlap(workdir, station):
    """Red is in the gate while he is in the hall: with clocks he is two persons."""
    text = station.read_text().replace("08:02:00", "08:01:00")
    station.write_text(text)
    out = station.parent / "linked"
    flags = ("--threshold=1000000", "--min_frames=3")
    _run("link", workdir, station, out, *flags)
    rows = _table(out / "persons.csv")
    assert len({row["person"] for row in rows}) == 2  # two at a time in each video
    _run("link", workdir, station, out, *flags, "--overlap=none")
    rows = _table(out / "persons.csv")
    assert len({row["person"] for row in rows}) == 4


def test_the_tracks_that_are_read_are_never_replaced(workdir, station, capsys):
    before = (station.parent / "hall.txt").read_text()
    with pytest.raises(SystemExit):
        _run("link", workdir, station, station.parent, "--persons=3")
    assert "hall.txt in it is a file that is read" in capsys.readouterr().err
    assert (station.parent / "hall.txt").read_text() == before


def test_unstorable_embeddings_are_reported(workdir, station, capsys):
    blocked = station.parent / "blocked"
    blocked.write_text("a file")
    _run("embed", workdir, station, station.parent / "all.npz", f"--keep={blocked}")
    assert "hall.mkv are not stored: " in capsys.readouterr().out
    assert (station.parent / "all.npz").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["link", "--overlap=none", "--video=V", "--tracks=T"],
            "--overlap=none needs a",
        ),
        (["link", "--cameras=C", "--video=V"], "--cameras=FILE is needed, or --video"),
        (["link"], "--cameras=FILE is needed, or --video"),
        (["link", "--cameras=C", "--min_frames=99"], "No track has 99 boxes"),
        (["link", "--cameras=C", "--false_links=1e-9"], "smallest calibrated rate"),
        (
            ["link", "--cameras=C", "--center_cameras"],
            "center_cameras=True makes those",
        ),
        (["search", "--cameras=C", "--query", "roof:1"], "cameras: hall, gate."),
        (["search", "--cameras=C", "--query", "hall:9"], "camera hall has no track 9"),
        (["search", "--cameras=C", "--query", "C"], "station.csv cannot be read"),
        (["embed", "--cameras=C", "--out=station"], "a name ending in .npz"),
        (["embed", "--cameras=C", "--workdir=absent"], "absent holds no run"),
        (
            ["embed", "--cameras=C", "--coordinator=h:1", "--num_processes=2"],
            "--coordinator=h:1 needs --num_processes=N and --process_id, 0 to N-1",
        ),
        (["link", "--cameras=C", "--labels=T"], "header has to be camera,track,person"),
    ],
)
def test_mistakes(workdir, station, flags, message, capsys):
    paths = {"C": station, "V": station.parent / "hall.mkv"}
    paths["T"] = station.parent / "hall.txt"
    command, *flags = flags
    flags = [f"{f[:-1]}{paths[f[-1]]}" if f[-1] in paths else f for f in flags]
    out = station.parent / ("out.npz" if command == "embed" else "out")
    with pytest.raises(SystemExit):
        footage.main([command, f"--workdir={workdir}", f"--out={out}", *flags])
    assert message in capsys.readouterr().err
    assert not list(station.parent.glob("out*/*"))


def test_labels_that_cannot_be_used(station, tmp_path):
    plan = tracks.read(cameras.read(station), tracks.Settings(min_frames=3))
    path = tmp_path / "labels.csv"
    for lines, message in (
        ("roof,1,a", "line 2: there is no camera roof"),
        ("hall,x,a", "line 2: hall:x: camera hall has no track x of at least 3 boxes"),
        ("hall,²,a", "line 2: hall:²: camera hall has no track"),
        ("hall,1", "line 2: 'hall,1' is not camera,track,person"),
        ("hall,1,a\nhall,1,b", "line 3: hall:1 has another person already"),
        ("", "no track has a label"),
    ):
        path.write_text(f"camera,track,person\n{lines}\n")
        with pytest.raises(ValueError, match=message):
            agreement.read_labels(path, plan)


def test_agreement_by_hand():
    """Two persons of three and one tracks; linked as two and two."""
    frames = [np.arange(n) for n in (4, 2, 2, 1)]
    none, seconds = np.zeros((4, 0)), np.zeros((4, 2))
    ids, first = np.arange(4), np.zeros(4, int)
    seen = appearances.Appearances([], none, first, ids, frames, seconds, [])
    persons = {(0, track): person for track, person in enumerate("aaab")}
    found = agreement.agreement(np.array([5, 5, 9, 9]), persons, seen)
    assert found.pairs == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    precision, recall = (1 + 1 + 1 / 2 + 1 / 2) / 4, (2 / 3 + 2 / 3 + 1 / 3 + 1) / 4
    f1 = 2 * precision * recall / (precision + recall)
    assert found.b_cubed == pytest.approx((precision, recall, f1))
    # a is 5 for six boxes, b is 9 for one: 7 of 9 boxes.
    assert found.identity == pytest.approx((7 / 9, 7 / 9, 7 / 9))


def test_labels_of_tracks_that_are_never_seen():
    none, ids = np.zeros((1, 0)), np.zeros(1, int)
    seen = appearances.Appearances([], none, ids, ids, [ids], np.zeros((1, 2)), [])
    with pytest.raises(ValueError, match="No labelled track has a box inside"):
        agreement.agreement(ids, {(0, 9): "a"}, seen)


@pytest.mark.slow
def test_several_processes_share_the_videos(workdir, station, tmp_path, monkeypatch):
    run = Run(workdir)
    plan = tracks.read(cameras.read(station), tracks.Settings(min_frames=3))
    alone = embedding.embed(run, plan, cache_folder=None)
    monkeypatch.setattr(peers, "check_same", lambda *_: None)
    monkeypatch.setattr(peers, "check_shared", lambda _: None)
    monkeypatch.setattr(peers, "told_by_all", lambda _: [[0, 1]])  # none is stored
    seen = []
    for process in range(2):
        monkeypatch.setattr(peers, "share", lambda i=process: (i, 2))
        with pytest.raises(UserError, match="--keep=none is for one"):
            embedding.embed_together(run, plan, cache_folder=None)
        embedding.embed_together(
            run,
            plan,
            cache_folder=tmp_path / "k",
            progress=lambda *now: seen.append(now),
        )
        assert len(list((tmp_path / "k").iterdir())) == process + 1
    assert seen[23] == (24, 24, "hall") and seen[-1] == (21, 21, "gate")
    monkeypatch.setattr(embedding, "_embed_recording", lambda *_: pytest.fail("again"))
    together = embedding.embed(run, plan, cache_folder=tmp_path / "k")
    np.testing.assert_array_equal(together.embeddings, alone.embeddings)


def test_interrupted_it_leaves_nothing_half_written(workdir, station):
    out = station.parent / "linked"
    command = [sys.executable, "-m", "reid_jax.footage", "link", f"--workdir={workdir}"]
    command += [f"--cameras={station}", f"--out={out}"]
    for seconds in (0.5, 3, 4, 5, 8):
        shutil.rmtree(out, ignore_errors=True)
        process = subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        time.sleep(seconds)
        is_early = not (out / "embeddings.npz").exists()  # the last that it writes
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors and "Exception ignored" not in errors
        assert process.returncode in (-signal.SIGINT, 0), errors
        if is_early:
            assert process.returncode == -signal.SIGINT, errors
        else:
            assert seconds > 0.5  # its imports alone take longer
        # When it is done, it notes which files are its own.
        assert {path.name for path in out.glob(".*")} <= {".footage.json"}
