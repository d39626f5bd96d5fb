"""Results of the runs of a table, as text and as files."""

import csv
import json

import numpy as np
import pytest

import evaluate
import train
from configs import tables
from reid_jax.retrieval import summary
from reid_jax.tables import collect as measured_tables
from reid_jax.tables import output as table_output
from reid_jax.tables import plans as table_plans
from reid_jax.tables import runs as table_runs

STEPS = {"train.max_steps": 2}
ROWS = (
    tables.Row("avg", (50.0, 60.0), "pool_avg.py:T=3", STEPS),
    tables.Row(
        *("re-ranked", (None, 61.25), "pool_avg.py:T=3"),
        STEPS | {"eval.rerank": True, "eval.rerank_k1": 5},
    ),
    tables.Row("max", (40.0, 50.0), "pool_max.py:T=3"),
    tables.Row("another's & 100 %", (10.0, None)),
    tables.Row("both", (45.0, None), mean_of=("avg", "re-ranked")),
)
COLUMNS = (tables.Column("mAP", "mAP"), tables.Column("CMC-1", "CMC-1"))


@pytest.fixture(scope="module")
def settings(walkers_tiny):
    small = {
        "model.backbone": "resnet14_w8",
        "model.frame_size": (32, 16),
        "data.data_dir": str(walkers_tiny),
        "data.p": 4,
        "data.k": 2,
        "eval.batch_clips": 4,
        "eval.pictures": False,
        "init_from": None,
    }
    with pytest.MonkeyPatch.context() as patch:
        table = tables.Table("A paper", "a caption", COLUMNS, ROWS, note="a note")
        patch.setitem(tables.TABLES, "99", table)
        short = tables.Table("A paper", "a caption", COLUMNS, ROWS[:2])
        patch.setitem(tables.TABLES, "98", short)
        yield {"dataset": "walkers/tiny", "overrides": small}


@pytest.fixture(scope="module")
def runs(settings, tmp_path_factory):
    """A folder with two runs of the first two rows."""
    folder = tmp_path_factory.mktemp("runs")
    train.train_table("98", folder, 2, **settings)
    return folder


def test_what_is_lacking_is_trained(settings, runs, capsys):
    plans, there = table_plans.plans("98", **settings), table_runs.read(runs)
    assert table_runs.missing_runs(plans, there, 2) == []
    (missing,) = table_runs.missing_runs(plans, there, 3)
    assert missing.seed == 2
    assert table_runs.count_runs(plans, 3) == 3
    train.train_table("98", runs, 2, **settings)
    assert "run 1" not in capsys.readouterr().out


def test_the_table_shows_paper_and_measured(settings, runs, capsys):
    evaluate.print_table("99", runs, **settings)
    printed = capsys.readouterr().out
    for text in (
        "Table 99 of A paper: a caption",
        "paper: MARS; measured: walkers/tiny; percent",
        "measured by standard protocol, step AP, l2 distance; standard protocol, step "
        "AP, l2, re-ranked distance",
        "Note: a note.",
        "train.py --config=configs/pool_max.py:T=3 --config.data.data_dir=",
    ):
        assert text in printed
    plan = table_plans.plans("99", **settings)[0]
    workdirs = table_runs.read(runs).workdirs(plan)
    assert list(workdirs) == [0, 1]
    scores = [
        json.loads((run / "eval/walkers-tiny/scores.json").read_text())["rows"][0]
        for run in workdirs.values()
    ]
    values = 100 * np.array([row["mean_ap"] for row in scores])
    mean, std = values.mean(), values.std(ddof=1)
    found = measured_tables.collect("99", runs, **settings).measured["avg"]
    sure = summary.bootstrap([one.ranking for one in found.scored])
    low, high = 100 * sure.mean_ap
    cells = {
        (row, line[1]): line[2]
        for row, line in _with_names(table_output.lines(_result(settings, runs)))
    }
    assert cells["avg", "paper"] == "50.0"
    assert cells["avg", "measured, 2 runs"] == f"{mean:.1f}±{std:.1f}"
    assert cells["avg", "95 %"] == f"{low:.1f}–{high:.1f}"
    assert cells["avg", "difference"] == f"{mean - 50:+.1f}"
    assert cells["re-ranked", "difference"] == "-"
    assert cells["another's & 100 %", "quoted"] == "10.0"
    assert ("max", "difference") not in cells
    reranked = (
        100
        * measured_tables.collect("99", runs, **settings)
        .measured["re-ranked"]
        .values[:, 0]
    )
    both = (values + reranked) / 2
    assert (
        cells["both", "measured, 2 runs"] == f"{both.mean():.1f}±{both.std(ddof=1):.1f}"
    )


def _result(settings, runs):
    return measured_tables.collect("99", runs, **settings)


def _with_names(lines):
    name = ""
    for line in lines[1:]:
        name = line[0] or name
        yield name, line


def test_all_formats_hold_the_same(settings, runs):
    result = _result(settings, runs)
    path = table_output.write(result, runs)
    assert path == runs / "tables" / "table99-walkers-tiny"
    content = json.loads(path.with_suffix(".json").read_text())
    records = content["rows"]
    (first, *_) = records
    assert first["difference"] == pytest.approx(first["measured"] - 50, abs=1e-6)
    assert first["low_95"] < first["measured"] < first["high_95"]
    assert (first["paper"], first["seeds"], first["quoted"]) == (50.0, "0 1", False)
    assert first["protocol"] == "standard protocol, step AP, l2 distance"
    quoted = next(r for r in records if r["row"].startswith("another"))
    assert quoted["quoted"] and quoted["paper_dataset"] == "mars"
    assert list(content["runs"]["avg"]) == ["0", "1"]
    assert content["verification"]["avg"]["1"]["num_impostor"] > 0
    assert content["rows_without_a_run"] == result.commands != []
    with path.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == [r["row"] for r in records]
    assert float(rows[0]["difference"]) == first["difference"]
    shown = table_output.lines(result)[2][2]
    assert shown in path.with_suffix(".md").read_text()
    latex = path.with_suffix(".tex").read_text()
    assert shown.replace("±", r"$\pm$") in latex
    assert r"another's \& 100 \% & quoted & 10.0 & $-$ \\" in latex
    assert "re-ranked & paper" in latex
    sign = "$-$" if first["difference"] < 0 else "+"
    assert f"difference & {sign}{abs(first['difference']):.1f}" in latex


def test_without_runs_there_are_commands(tmp_path):
    result = measured_tables.collect("5", tmp_path / "none")
    text = table_output.as_text(result)
    assert text.count("python train.py --config=configs/attn_") == 2
    assert "weights/resnet50-19c8e357.pth" in text
    assert "75.8" in text and "measured, " not in text
    assert not (tmp_path / "none").exists()
    small = measured_tables.collect("8", tmp_path / "none", preset="small")
    assert [c.split()[2].partition(":")[0] for c in small.commands] == [
        *("--config=configs/image.py", "--config=configs/rnn.py"),
        "--config=configs/rnn.py",
    ]
    baseline = measured_tables.collect("II", tmp_path / "none", preset="small")
    assert baseline.notes == [
        "cross: Baseline: published weights as they are, not in a preset."
    ]


def test_a_level_of_a_study_is_a_column(settings, runs, monkeypatch):
    plan = table_plans.plans("99", **settings)[0]
    workdir = table_runs.read(runs).workdirs(plan)[0]
    columns = [
        tables.Column("1/1", "CMC-1", "frames", (1,)),
        tables.Column("mean", "mAP", "frames", (1, 2)),
    ]
    found = measured_tables.measure(plan, columns, {0: workdir})
    stored = json.loads((workdir / "eval/walkers-tiny/study_frames.json").read_text())
    of_level = {row["level"]: row for row in stored["rows"]}
    assert found.values[0, 0] == of_level[1]["cmc"]["1"]
    both = np.mean([of_level[level]["mean_ap"] for level in (1, 2)])
    assert found.values[0, 1] == pytest.approx(both)
    assert found.intervals[0].tolist() == of_level[1]["interval_95"]["cmc"]["1"]
    assert np.isnan(found.intervals[1]).all()
    assert found.protocol == "standard protocol, l2 distance"
    assert list(found.curves) == ["unchanged", "1", "2"]
    monkeypatch.setattr(
        measured_tables.studies, "run_study", lambda *_: pytest.fail("was run again")
    )
    again = measured_tables.measure(plan, columns, {0: workdir})
    np.testing.assert_array_equal(again.values, found.values)
    # Drawn, a curve for each row.
    table = tables.Table("A paper", "figure", tuple(columns), ROWS[:1])
    result = measured_tables.Result(
        "figure9", table, {"avg": plan}, {"avg": found}, [], []
    )
    path = table_output.write(result, runs)
    assert path.name == "figure9-walkers-tiny"
    assert path.with_suffix(".png").stat().st_size > 1000
