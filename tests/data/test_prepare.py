"""`python -m data.prepare`: what it builds, says, and leaves behind."""

import errno
import os
import subprocess
import sys
import time

import pytest

from data import prepare
from tests import ROOT, mars_layout, source_layouts


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
