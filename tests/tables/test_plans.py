"""The papers' tables: their numbers, and the configs and commands of their rows."""

import ast
import json
import pathlib
import re
import shlex

import pytest

import tests
from configs import base, tables
from reid_jax import config_checks
from reid_jax.runs import folder as run_folder
from reid_jax.tables import plans as table_plans

GOLDEN = json.loads((tests.GOLDEN / "tables.json").read_text())


@pytest.mark.parametrize("number", list(GOLDEN["paper1"]))
def test_numbers_of_paper_1(number):
    rows = tables.TABLES[number].rows
    expected = GOLDEN["paper1"][number]
    assert {row.name: list(row.paper) for row in rows} == expected["rows"]
    assert [row.name for row in rows if row.is_quoted] == expected["quoted"]


def test_numbers_of_paper_2():
    golden = GOLDEN["paper2"]
    rows = {row.name: row for row in tables.TABLES["I"].rows}
    for place, systems in golden["I"]["datasets"].items():
        for system, values in systems.items():
            name = system.replace("Ours+", "Ours + ").replace(" et al.", " et al")
            assert list(rows.pop(f"{place}: {name}").paper) == values
        top1 = golden["I"]["xqda_top1_from_text"][place]
        assert rows.pop(f"{place}: Ours + XQDA").paper == (top1, None, None, None)
    assert not rows
    rows = {row.name: list(row.paper) for row in tables.TABLES["II"].rows}
    for group, prefix in (
        ("cross testing (first model)", "cross: "),
        ("trained on MARS (second model)", ""),
    ):
        for system, values in golden["II"][group].items():
            assert rows.pop(prefix + system.replace("Ours+", "Ours + ")) == values
    assert rows == {"Ours + XQDA": [golden["II"]["xqda_top1_from_text"], *[None] * 3]}
    rows = {row.name: list(row.paper) for row in tables.TABLES["III"].rows}
    assert rows == {
        name.replace("Ours+", "Ours + "): values
        for name, values in golden["III"]["rows"].items()
    }
    means = [row.paper for row in tables.TABLES["figure5"].rows if row.paper[0]]
    assert means == [(value,) for value in golden["figure 5"]["rows"].values()]


@pytest.mark.parametrize("number", list(tables.TABLES))
@pytest.mark.parametrize("preset", ["paper", "small"])
def test_every_row_has_a_config_that_builds(number, preset):
    names = [str(column) for column in tables.TABLES[number].columns]
    for row in tables.TABLES[number].rows:
        assert len(row.paper) == len(names)
    for plan in table_plans.plans(number, preset=preset):
        config_checks.check_config(plan.config)
        command = plan.command(pathlib.Path("runs"), seed=1)
        file = re.search(r"--config=(\S+)", command)[1]
        config = table_plans.load_config(file)
        for argument in shlex.split(command):
            if is_field := re.fullmatch(r"--config\.(\S+?)=(.*)", argument):
                field, value = is_field.groups()
                kind = {
                    "train.max_steps": int,
                    "seed": int,
                    "data.mixture": ast.literal_eval,
                }.get(field, str)
                config.update_from_flattened_dict({field: kind(value)})
        # The command's run is one that the row finds.
        assert not run_folder.changes(
            config,
            plan.training_config(pathlib.Path("runs"), 1),
            run_folder.MAY_CHANGE[:-1],
        )
        assert "preset" in file or "walkers" in file or preset == "paper"


def test_what_a_row_varies():
    plans = {plan.row.name: plan for plan in table_plans.plans("6")}
    assert [plan.config.model.rnn_dim for plan in plans.values()] == [512, 1024, 2048]
    for plan in plans.values():
        assert plan.config.model.rnn_output == "last"
        assert plan.config.model.clip_length == 8
        assert plan.config.train.learning_rate == 1e-4
        assert plan.dataset == plan.config.data.name == "mars"
    plans = {plan.row.name: plan for plan in table_plans.plans("10")}
    assert plans["Ours (re-rank)"].row.overrides == {"eval.rerank": True}
    assert plans["Ours (re-rank)"].config.model == plans["Ours (att)"].config.model
    (other,) = {p.dataset for p in table_plans.plans("2", dataset="walkers/tiny")}
    assert other == "walkers/tiny"
    for plan in table_plans.plans("8", preset="small"):
        assert plan.first.config.model.temporal == "none"
        assert plan.training_config(pathlib.Path("r"), 2).init_from == (
            "r/image-preset-small-walkers_street_small-seed-2"
        )
        assert plan.config.train.learning_rate == pytest.approx(2e-3 / 3)
    for number, preset in (("12", "paper"), ("2", "large")):
        with pytest.raises(ValueError, match="is unknown; known: "):
            table_plans.plans(number, preset=preset)


def test_a_dataset_takes_the_place_of_mars_only():
    with pytest.raises(ValueError, match="table I has none"):
        table_plans.plans("I", dataset="walkers/tiny")
    places = [p.dataset for p in table_plans.plans("figure5", dataset="walkers/tiny")]
    assert places == [
        *("prid2011/all0", "ilids_vid/split0", "p_destre/seeded0", "walkers/tiny")
    ]


def test_fields_for_all_runs_are_in_their_commands():
    (plan, *_) = table_plans.plans("8", overrides={"model.dtype": "bfloat16"})
    assert plan.config.model.dtype == "bfloat16"
    command = plan.command(pathlib.Path("my runs"), 1)
    assert "--config.model.dtype=bfloat16" in shlex.split(command)
    assert "--workdir=my runs/rnn-T-8-mars-seed-1" in shlex.split(command)


def test_scores_are_by_the_row_whatever_the_run_says():
    plans = {plan.row.name: plan for plan in table_plans.plans("10")}
    run = plans["Ours (att)"].training_config(pathlib.Path("r"), 3)
    run.eval.update(metric="cosine", rerank=True, max_frames=3, batch_clips=7)
    scored = plans["Ours (att)"].scoring_config(run)
    usual = base.get_config().eval
    assert (scored.eval.metric, scored.eval.rerank) == ("l2", False)
    assert scored.eval.max_frames == usual.max_frames
    assert scored.eval.batch_clips == 7  # what fits into its memory
    assert plans["Ours (re-rank)"].scoring_config(run).eval.rerank
    assert run.eval.rerank


def test_a_seed_of_paper_2_is_a_split(tmp_path):
    plan = table_plans.plans("II")[0]
    config = plan.training_config(tmp_path, 3)
    assert config.data.mixture == (
        "prid2011/all3",
        "ilids_vid/split3",
        "p_destre/seeded3",
    )
    assert config.seed == 3 and plan.dataset == "mars"
    fields = [
        argument
        for argument in shlex.split(plan.command(tmp_path, 3))
        if "mixture" in argument
    ]
    assert fields == [f"--config.data.mixture={config.data.mixture}"]
    tuned = table_plans.plans("II")[3].training_config(tmp_path, 3)
    assert tuned.data.name == "mars"
    assert tuned.init_from == str(plan.workdir(tmp_path, 3))
    for plan in table_plans.plans("I"):
        name = plan.dataset[:-1] + "3"
        config = plan.training_config(tmp_path, 3)
        assert config.data.name in (name, "prid2011/all3")
        assert plan.scoring_config(config).data.name == name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"overrides": {"eval.noise": 7.0}}, r"config.eval.noise=7.0 must be in 0..1"),
        ({"overrides": {"eval.metric": "l2,xqda"}}, "a table is by one metric"),
        ({"overrides": {"eval.metric": "x"}}, "eval.metric='x'"),
        ({"dataset": "nonsense/x"}, "nonsense"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_it_is_trained(settings, message):
    with pytest.raises(ValueError, match=message):
        table_plans.plans("5", **settings)
