"""The report of a run, looked at in a real browser."""

import html
import json
import pathlib
import re
import shutil
import subprocess

import pytest

import evaluate
from reid_jax.runs.run import Run
from reid_jax.scoring import studies
from tests.conftest import attention_run

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
# Alone on a machine without a screen, a network or a user.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--hide-scrollbars", "--enable-logging=stderr"),
    "--virtual-time-budget=10000",
)
# A window is never as narrow as a phone's, a frame in it is.
LOOK = """<meta charset="utf-8"><body style="margin: 0">
<iframe id="page" style="border: 0; width: WIDTHpx" srcdoc="PAGE"></iframe>
<pre id="seen"></pre>
<script>
onload = () => {
  const page = document.getElementById("page").contentDocument;
  const all = [...page.querySelectorAll("body *")];
  const texts = all.filter(e => e.checkVisibility() && [...e.childNodes].some(
    n => n.nodeType == 3 && n.data.trim()));
  document.getElementById("seen").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth,
    images: [...page.images].map(
      i => [i.naturalWidth, i.width, i.naturalHeight, i.height]),
    smallest: Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize))),
    headings: [...page.querySelectorAll("h2")].map(e => e.textContent),
    links: all.filter(e => e.src || e.href).map(e => (e.src || e.href).slice(0, 11)),
  });
};
</script>"""


def look(text: str, folder: pathlib.Path, width: int) -> tuple[dict, list[str]]:
    """Layout of a page in a browser of this width, and its console messages."""
    path = folder / "look.html"
    wrapped = LOOK.replace("WIDTH", f"{width}").replace("PAGE", html.escape(text))
    path.write_text(wrapped, encoding="utf-8")
    run = subprocess.run(
        [
            BROWSER,
            *FLAGS,
            f"--user-data-dir={folder}/browser",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    seen = re.search(r'<pre id="seen">(.*?)</pre>', run.stdout, re.DOTALL)[1]
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(seen)), console


needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no chromium or google-chrome on PATH"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory, trained_attention, walkers_tiny):
    """The page of a run with attention, and its rows."""
    workdir = tmp_path_factory.mktemp("runs") / "<b>&run"
    shutil.copytree(trained_attention, workdir)
    config = attention_run(walkers_tiny)
    rows = evaluate.evaluate(config, workdir, with_report=True)
    path = workdir / "eval" / "walkers-tiny" / "report.html"
    return path.read_text(encoding="utf-8"), rows, config, workdir


def test_pictures_are_files_too(report):
    *_, workdir = report
    names = ("ranked_lists", "cmc", "roc", "training", "embedding_map", "attention")
    for name in (*names, "responses", "filters"):
        path = workdir / "eval" / "walkers-tiny" / f"{name}.png"
        assert path.stat().st_size > 1000


def test_a_model_card_stands_beside_it(report):
    _, rows, config, workdir = report
    run = Run(workdir, config)
    text = (run.folder / "model_card.md").read_text(encoding="utf-8")
    assert text.startswith("# Model card: <b>&run\n")
    cells = [line.strip("| ").split(" | ") for line in text.splitlines()]
    assert ["parameters", f"{run.num_params:,}"] in cells
    assert ["weights", f"SHA-256 {run.fingerprint}"] in cells
    assert ["licence", "not stated"] in cells
    trained_on = ["training", "walkers/tiny", f"{len(run.pids)}"]
    assert [*trained_on, "not stored"] in cells
    shown = [line for line in cells if line[0] in {row["method"] for row in rows}]
    assert len(shown) == len(rows)
    for line, row in zip(shown, rows, strict=True):
        low, high = (100 * end for end in row["interval_95"]["mean_ap"])
        assert line[5] == f"{100 * row['mean_ap']:.1f} ({low:.1f}-{high:.1f})"
        assert line[-1] == f"{row['num_valid']} of {row['num_queries']}"


@needs_browser
@pytest.mark.parametrize("width", [375, 1280])
def test_in_a_browser(report, tmp_path, width):
    text, *_ = report
    seen, console = look(text, tmp_path, width)
    assert console == []
    assert seen["width"] <= width  # nothing to scroll sideways but boxes of their own
    assert seen["smallest"] >= 13
    assert seen["headings"] == [
        *("Scores", "Curves", "Ranked lists", "The network", "Config")
    ]
    assert len(seen["images"]) > 30
    for natural_width, shown_width, natural_height, shown_height in seen["images"]:
        assert natural_width > 0 and natural_height > 0
        assert shown_height >= 100  # curves and persons stay large on a phone
        shape = shown_width / shown_height
        assert shape == pytest.approx(natural_width / natural_height, rel=0.1)
    assert set(seen["links"]) == {"data:image/"}


@needs_browser
def test_the_look_sees_what_is_wrong(tmp_path):
    page = """<!DOCTYPE html><p style="font-size: 9px; width: 900px">text</p>
    <img src="data:image/png;base64,AAAA"><script>missing()</script>"""
    seen, console = look(page, tmp_path, 375)
    assert seen["width"] >= 900 and seen["smallest"] == 9
    assert seen["images"][0][0] == 0
    assert len(console) == 1 and "missing is not defined" in console[0]


def test_what_it_says(report):
    text, rows, config, workdir = report
    assert "<title>&lt;b&gt;&amp;run on walkers/tiny</title>" in text
    (row,) = rows
    assert f"{100 * row['cmc']['1']:.1f}</td>" in text
    low, high = row["interval_95"]["mean_ap"]
    assert f"{100 * row['mean_ap']:.1f} [{100 * low:.1f}, {100 * high:.1f}]" in text
    assert "Same person or not: TPR" in text
    rate = row["verification"]["equal_error_rate"]
    assert f'<td class="number">{100 * rate:.1f}</td>' in text
    titles = (
        "Training",
        "Same person or not",
        "White Gaussian noise",
        "Attention",
        "Worst failures",
    )
    assert all(f"<h3>{title}</h3>" in text for title in titles)
    assert "<td>model.temporal</td><td>avg</td><td>attn_tconv</td>" in text
    assert "loss.margin" in text.partition("All fields")[2]
    assert "loss.margin" not in text.partition("All fields")[0]
    right, wrong = (int(n) for n in re.findall(r"(\d+) of \d+ queries with a m", text))
    assert right + wrong == row["num_valid"] and right == row["cmc"]["1"] * (
        right + wrong
    )
    # The study is not run again for the same scores, but for others.
    stored = workdir / "eval" / "walkers-tiny" / "study_noise.json"
    before = stored.stat().st_mtime_ns
    run = Run(workdir, config)
    levels = {row["level"] for row in studies.load_or_run(run, "noise").rows}
    assert stored.stat().st_mtime_ns == before and None in levels
    config.eval.metric = "cosine"
    rows = studies.load_or_run(run, "noise", [1e-3]).rows
    assert {row["metric"] for row in rows} == {"cosine"}
    assert [row["level"] for row in rows] == [None, 1e-3]
    rows = studies.load_or_run(run, "noise", [2e-3]).rows
    assert [row["level"] for row in rows] == [None, 1e-3, 2e-3]
