"""Messages of train.py and evaluate.py about command lines: mistakes, --help."""

import jax
import numpy as np
import pytest
from flax import nnx

from configs import base
from reid_jax import config_checks, files
from reid_jax.cli import arguments
from reid_jax.runs import folder


@pytest.mark.parametrize(
    ("argv", "message"),
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
        (["train.py", "--config", "configs/absent.py"], "no config file 'configs/ab"),
        (["train.py", "--config", "configs/demo.py", "--config.data.p", "0"], "p=0 mu"),
        (["train.py", "--config"], "Missing value for flag --config"),
        (["train.py", "--config="], "no config file ''; there are: configs/attn_fc"),
        (["train.py", "--table", "5", "--config.seed", "3"], "seed is set by each row"),
        (["evaluate.py", "--table", "11"], "--table=11: value should be one of <1|2"),
        (["evaluate.py", "--workdir", "absent"], "absent holds no run"),
        (
            ["train.py", "--config=configs/demo.py", f"--config.seed={2**63}"],
            f"config.seed={2**63} must be in 0..{2**63 - 1}",
        ),
        (["evaluate.py"], "--workdir=DIR is needed"),
        (["evaluate.py", "--runs=x"], "--runs belongs to --table"),
        (["evaluate.py", "--table=5", "--workdir=x"], "--workdir and --table do not"),
        (["evaluate.py", "--table=11"], "--table=11: value should be one of <1|2"),
        (
            ["train.py", "--table=5", "--config.seed=3"],
            "seed is set by each row",
        ),
        (["train.py", "--seeds=2"], "--seeds belongs to --table"),
        (
            ["train.py", "--config=configs/c3d_joint.py:walk"],
            "train.py: The variant data='walk' is unknown; known: paper, walkers.",
        ),
        (["evaluate.py", "--workdir=absent"], "absent holds no run"),
        (["evaluate.py", "--workdir=a,./a"], "--workdir=a,./a names a folder twice"),
        (["evaluate.py", "--workdir=a", "--side=query"], "belong to a --study"),
        (
            ["evaluate.py", "--workdir=a", "--study=noise", "--coordinator=h:1"],
            "--study runs in one process: leave --coordinator out",
        ),
        (["evaluate.py", "--workdir=a", "--process_id=0"], "need --coordinator"),
        (["evaluate.py", "--table=5", "--coordinator=h:1"], "--coordinator and --tab"),
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
def test_mistakes_end_in_a_plain_message(programs, argv, message):
    opens_dataset = "python -m data" in message or "moon" in message
    imported = ["reid_jax.input.files"] if opens_dataset else []
    ended = programs.run(*argv, imported=imported)
    assert ended.returncode != 0
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1 or "data.prepare" in message  # which shows the layout


@pytest.mark.parametrize(
    "returned, message",
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("open('absent')", "No such file or directory: 'absent'"),
        ("3", "must return the config of configs/base.py"),
        ("ConfigDict({'train': {}})", "missing: augment, data, eval,"),
    ],
)
def test_mistakes_in_a_config_file(programs, tmp_path, returned, message):
    file = tmp_path / "config.py"
    file.write_text(
        "from ml_collections import ConfigDict\n"
        f"def get_config(variant=''): return {returned}\n"
    )
    ended = programs.run("train.py", f"--config={file}")
    assert ended.returncode == 2
    assert message in ended.stderr and len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("program", ["train.py", "evaluate.py"])
def test_help(programs, program):
    ended = programs.run(program, "--help")
    assert "--workdir" in ended.stdout and "  --table:" in ended.stdout


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (["--config=a", "--config.x=1"], ["a"]),
        (["--config", "a", "--config.x", "1", "-config", "b"], ["a", "b"]),
        (["--config=", "a"], [""]),
        (["--config=a=b", "config", "--configs=c"], ["a=b"]),
        (["x", "--config"], []),
    ],
)
def test_values_of_flags_that_are_not_parsed(argv, values):
    assert list(arguments.values_of(argv, "config")) == values


def test_the_workdir_may_follow_its_flag(tmp_path):
    config = base.get_config()
    config.data.p = 7
    files.write_json(tmp_path / "config.json", config.to_dict())
    for argv in ([f"--workdir={tmp_path},b"], ["--workdir", f"{tmp_path},b"]):
        assert folder.config_of_arguments(argv).data.p == 7
    assert folder.config_of_arguments(["--workdir"]).data.p == base.get_config().data.p


@pytest.mark.parametrize("seed", [0, config_checks.LARGEST_SEED])
def test_every_generator_takes_the_seeds_that_are_allowed(seed, tiny_config):
    tiny_config.seed = seed
    config_checks.check_config(tiny_config)
    jax.random.key(seed)
    nnx.Rngs(seed)
    np.random.default_rng([seed, 1])


def test_configs_that_are_listed_are_configs(programs):
    listed = programs.run("train.py", "--config=configs/absent.py").stderr
    assert "configs/rnn.py" in listed
    assert "tables.py" not in listed and "variants.py" not in listed
