"""What train.py and evaluate.py say to command lines: mistakes, --help."""

import pytest

from tests import processes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.py", "--config=configs/absent.py"], "there are: configs/attn_fc.py"),
        (
            ["train.py", "--config=configs/demo.py", "--config.train.lr=1"],
            "config.train has no field 'lr'; it has: accumulate, checkpoint_ev",
        ),
        (["evaluate.py", "--config.modle.dtype=x"], "config has no field 'modle'"),
        (["train.py", "--config=configs/demo.py", "--config.data.p=0"], "p=0 must be"),
        (["train.py", "--config=configs/demo.py", "--wrokdir=x"], "wrokdir"),
        (["train.py", "--config=configs/demo.py", "--config.data.p=many"], "many"),
        (["train.py", "stray"], "stray"),
        (["train.py"], "--config=configs/NAME.py is needed"),
        (["evaluate.py"], "--workdir=DIR is needed"),
        (["evaluate.py", "--runs=x"], "--runs belongs to --table"),
        (["evaluate.py", "--table=5", "--workdir=x"], "--workdir and --table do not"),
        (["evaluate.py", "--table=11"], "--table=11 is unknown; known: 1, 2"),
        (["train.py", "--table=5", "--config.seed=3"], "config.seed is the rows' own"),
        (["train.py", "--seeds=2"], "--seeds belongs to --table"),
        (
            ["train.py", "--config=configs/c3d_joint.py:walk"],
            "train.py: The variant data='walk' is unknown; known: paper, walkers.",
        ),
        (["evaluate.py", "--workdir=absent"], "absent holds no run"),
        (["evaluate.py", "--workdir=a,./a"], "--workdir=a,./a names one twice"),
        (["evaluate.py", "--workdir=a", "--side=query"], "belong to a --study"),
        (
            [
                "train.py",
                "--config=configs/attn_tconv.py",
                "--config.data.data_dir=none",
            ],
            "python -m data.prepare mars --source=DIR --data_dir=none",
        ),
        (
            ["train.py", "--config=configs/demo.py", "--config.data.name=walkers/moon"],
            "no config 'moon'",
        ),
    ],
)
def test_mistakes_end_in_a_plain_message(arguments, message):
    ended = processes.run(*arguments)
    assert ended.returncode != 0
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1 or "data.prepare" in message  # which shows the layout


@pytest.mark.parametrize("program", ["train.py", "evaluate.py"])
def test_help(program):
    ended = processes.run(program, "--help")
    assert "--workdir" in ended.stdout and "  --table:" in ended.stdout


def test_configs_that_are_listed_are_configs():
    listed = processes.run("train.py", "--config=configs/absent.py").stderr
    assert "configs/rnn.py" in listed
    assert "tables.py" not in listed and "variants.py" not in listed
