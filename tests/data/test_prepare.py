"""`python -m data.prepare`: what it builds, says, and leaves behind."""

import contextlib
import errno
import os
import subprocess
import sys
import time
from concurrent import futures

import pytest

from data import prepare
from reid_jax import locks
from reid_jax.input import datasets, frame_cache
from tests import ROOT, mars_layout, processes, source_layouts


@pytest.fixture
def mars(tmp_path):
    folder = tmp_path / "MARS"
    mars_layout.write_mars_layout(folder, mars_layout.tiny_tracklets())
    return folder


def _main(capsys, *arguments: str) -> tuple[int, str, str]:
    status = 0
    try:
        prepare.main(list(arguments))
    except SystemExit as end:
        status = end.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_builds_and_summarises(mars, tmp_path, capsys):
    data_dir = tmp_path / "datasets"
    arguments = ("mars", f"--source={mars}", f"--data_dir={data_dir}")
    status, out, _ = _main(capsys, *arguments)
    assert status == 0
    assert [" ".join(line.split()) for line in out.splitlines()[1:]] == [
        "split tracklets persons cameras frames shortest median longest",
        "train 6 3 2 18 3 3 3",
        "query 2 2 1 6 3 3 3",
        "gallery 6 2 3 18 3 3 3",
        "",
        "next, train a network on it:",
        "python train.py --config=configs/attn_tconv.py --workdir=runs/attn_tconv-mars "
        f"--config.data.name=mars --config.data.data_dir={data_dir} --config.data.p=3",
    ]
    assert [path.name for path in data_dir.iterdir()] == ["mars"]
    assert [path.name for path in (data_dir / "mars").iterdir()] == ["1.0.0"]

    # A second time it only says what there is, and needs no source.
    status, again, _ = _main(capsys, "mars", f"--data_dir={data_dir}")
    assert status == 0
    assert again.splitlines()[0].startswith("mars is already in ")
    assert again.splitlines()[1:] == out.splitlines()[1:]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["elephants"], "There is no dataset 'elephants' in data/, only: "),
        (["elephants/two"], "There is no dataset 'elephants/two' in data/, only: "),
        (["../data"], "There is no dataset '../data' in data/, only: "),
        (["mars/split7"], "mars has no config 'split7', it has none."),
        (["mars"], "mars needs --source=DIR, the folder it is in."),
        (["mars", "--source=nowhere"], "--source=nowhere is not a folder."),
    ],
)
def test_errors_begin_with_one_clear_line(arguments, expected, tmp_path, capsys):
    data_dir = tmp_path / "datasets"
    status, out, err = _main(capsys, *arguments, f"--data_dir={data_dir}")
    assert status == 1
    assert expected in err.splitlines()[0]
    assert "Traceback" not in out + err
    if arguments[0].startswith("elephants"):
        assert "mars" in err
    if expected.startswith(("mars needs", "--source")):
        assert "bbox_train/<pid>/<image>.jpg" in err
    assert not data_dir.exists()


def test_what_is_rendered_takes_no_source(tmp_path, capsys):
    arguments = ("walkers/tiny", f"--source={tmp_path}", f"--data_dir={tmp_path}")
    status, _, error = _main(capsys, *arguments)
    assert status == 1
    assert "walkers/tiny is rendered: --source=" in error
    assert not list(tmp_path.iterdir())


def test_damaged_source_is_one_message(mars, tmp_path, capsys):
    (mars / "bbox_train" / "0001" / "0001C1T0001F001.jpg").unlink()
    arguments = (f"--source={mars}", f"--data_dir={tmp_path / 'datasets'}")
    status, _, err = _main(capsys, "mars", *arguments)
    assert status == 1
    assert err.splitlines()[-2:] == [
        f"python -m data.prepare: MARS in {mars} has 1 problem:",
        "  bbox_train/0001/0001C1T0001F001.jpg: missing",
    ]
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize("by_tensorflow", [False, True])
def test_full_disk_is_one_line_and_keeps_nothing(
    mars, tmp_path, monkeypatch, by_tensorflow
):
    data_dir = tmp_path / "disk" / "datasets"
    builder = prepare.find_builder("mars", data_dir)
    generate = builder._generate_examples

    def generate_until_full(*arguments):
        yield next(generate(*arguments))
        assert list(data_dir.glob("mars/*incomplete*"))  # something has been written
        message = os.strerror(errno.ENOSPC)
        if by_tensorflow:
            import tensorflow as tf

            raise tf.errors.ResourceExhaustedError(None, None, f"bucket; {message}")
        raise OSError(errno.ENOSPC, message)

    monkeypatch.setattr(builder, "_generate_examples", generate_until_full)
    with pytest.raises(prepare.DatasetError) as caught:
        prepare.build(builder, mars)
    assert str(caught.value).startswith("No space left on the disk of ")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [mars]


def test_failure_leaves_other_datasets_alone(mars, tmp_path, monkeypatch):
    data_dir = tmp_path / "datasets"
    other = data_dir / "mars" / "0.9.0" / "kept"
    other.mkdir(parents=True)
    builder = prepare.find_builder("mars", data_dir)
    (mars / "info" / "query_IDX.mat").unlink()
    with pytest.raises(ValueError, match=r"query_IDX\.mat: missing"):
        prepare.build(builder, mars)
    assert [path.name for path in (data_dir / "mars").iterdir()] == ["0.9.0"]
    assert other.exists()


def test_not_prepared_message_gives_the_command(tmp_path):
    message = prepare.not_prepared_message("mars", "datasets")
    assert "\n  python -m data.prepare mars --source=DIR\n" in message
    assert "bbox_train/<pid>/<image>.jpg" in message
    message = prepare.not_prepared_message("mars", tmp_path)
    assert f" --source=DIR --data_dir={tmp_path}\n" in message
    with pytest.raises(prepare.DatasetError, match="There is no dataset 'elephants'"):
        prepare.not_prepared_message("elephants", "datasets")


def test_help_is_quick():
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "data.prepare", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--source" in done.stdout
    assert "tensorflow" not in done.stderr
    assert time.monotonic() - start < 10  # it takes a fraction of a second


def test_a_changed_source_is_built_again_when_asked(tmp_path, capsys):
    folder = tmp_path / "station"
    source_layouts.write_tracklet_folder(folder)
    arguments = [
        "tracklet_folder",
        f"--source={folder}",
        f"--data_dir={tmp_path / 'd'}",
    ]
    assert _main(capsys, *arguments)[0] == 0
    (folder / "tracklets.csv").write_text(
        "frames,pid,camid,split\n" + "x,1,0,no\n" * 12
    )
    assert "--rebuild" in _main(capsys, *arguments)[1]
    code, _, ten = _main(capsys, *arguments, "--rebuild")
    assert (code, ten.count("\n  ")) == (1, 10)
    assert "already in" in _main(capsys, *arguments)[1]  # the old one is still there
    code, _, every = _main(capsys, *arguments, "--rebuild", "--all_problems")
    assert code == 1 and every.count("\n  ") > 12
    (folder / "tracklets.csv").unlink()
    source_layouts.write_tracklet_folder(folder)
    code, out, _ = _main(capsys, *arguments, "--rebuild")
    assert code == 0 and "again" in out
    assert not list((tmp_path / "d").rglob("*.old"))
    # As kill -9 leaves it in the middle.
    (prepared,) = (tmp_path / "d").rglob("dataset_info.json")
    prepared.parent.rename(prepared.parent.with_name(f"{prepared.parent.name}.old"))
    code, out, _ = _main(capsys, *arguments)
    assert code == 0 and "is back" in out and "already in" in out
    assert not list((tmp_path / "d").rglob("*.old"))


@pytest.fixture
def station(tmp_path):
    """A name, and the flags of the command that builds it."""
    source_layouts.write_tracklet_folder(tmp_path / "station")
    flags = (f"--source={tmp_path / 'station'}", f"--data_dir={tmp_path / 'd'}")
    return "tracklet_folder/station", *flags


@pytest.fixture
def builder(station, tmp_path):
    return prepare.find_builder(station[0], tmp_path / "d")


def _during_examples(monkeypatch, builder, call):
    """Lets `call()` come when the builder reads the first example of a split."""
    generate = builder._generate_examples

    def generate_after(*arguments):
        call()
        yield from generate(*arguments)

    monkeypatch.setattr(builder, "_generate_examples", generate_after)


@pytest.mark.slow
def test_of_programs_that_start_together_one_builds(
    tmp_path, station, builder, monkeypatch
):
    others = []

    def start_another():
        if not others:
            others.append(processes.start("-m", "data.prepare", *station))
            printed.append(others[0].stdout.readline())

    printed = []
    _during_examples(monkeypatch, builder, start_another)
    prepare.build(builder, tmp_path / "station")
    lock = tmp_path / "d" / ".tracklet_folder-station.lock"
    waiting = "Waiting to prepare tracklet_folder/station: another program has"
    assert printed[0] == f"{waiting} {lock} locked.\n"
    (printed,) = processes.end(*others)
    assert "already in" in printed and "gallery" in printed
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["tracklet_folder"]


def test_a_rebuild_keeps_others_waiting(tmp_path, station, monkeypatch, capsys):
    """They must not take the old one, put aside, for what a killed one left."""
    assert _main(capsys, *station)[0] == 0
    build = prepare._build
    with futures.ThreadPoolExecutor() as pool:
        others = []

        def build_while_another_asks(builder, source):
            others.append(pool.submit(prepare.prepared, station[0], tmp_path / "d"))
            while "Waiting to prepare" not in capsys.readouterr().err:
                assert not others[0].done()
                time.sleep(0.01)
            build(builder, source)

        monkeypatch.setattr(prepare, "_build", build_while_another_asks)
        assert _main(capsys, *station, "--rebuild")[0] == 0
        assert others[0].result().info.splits["train"].num_examples == 2


def test_one_program_fills_the_frame_cache_for_all(
    tmp_path, station, builder, monkeypatch, capsys
):
    prepare.build(builder, tmp_path / "station")
    dataset_and_folder = station[0], str(tmp_path / "d")
    write = frame_cache._write
    with futures.ThreadPoolExecutor() as pool:
        others = []

        def write_while_another_starts(*arguments):
            written.append(arguments[0].name)
            if not others:
                others.append(pool.submit(datasets.load_dataset, *dataset_and_folder))
                while "Waiting to prepare" not in capsys.readouterr().err:
                    assert not others[0].done()
                    time.sleep(0.01)
            write(*arguments)

        written = []
        monkeypatch.setattr(frame_cache, "_write", write_while_another_starts)
        dataset = datasets.load_dataset(*dataset_and_folder)
        assert others[0].result().fingerprint == dataset.fingerprint
    assert written == [f"{split}.index.npz" for split in ("train", "query", "gallery")]


def test_without_locks_the_second_takes_what_the_first_has_made(
    tmp_path, station, builder, monkeypatch
):
    monkeypatch.setattr(locks, "held", lambda *_: contextlib.nullcontext())
    other = prepare.find_builder(station[0], tmp_path / "d")
    source = tmp_path / "station"
    _during_examples(monkeypatch, builder, lambda: prepare.build(other, source))
    prepare.build(builder, source)
    assert len(builder.as_data_source("train")) == 2
    folder = tmp_path / "d" / "tracklet_folder" / "station"
    assert [path.name for path in folder.iterdir()] == ["1.0.0"]


@pytest.mark.parametrize(
    ("umask", "modes"), [(0o022, (0o755, 0o644)), (0o002, (0o775, 0o664))]
)
def test_colleagues_can_read_what_is_prepared(tmp_path, builder, umask, modes):
    before = os.umask(umask)
    try:
        prepare.build(builder, tmp_path / "station")
    finally:
        os.umask(before)
    paths = [tmp_path / "d", *(tmp_path / "d").rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {
        modes[0]
    }
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {
        modes[1]
    }
