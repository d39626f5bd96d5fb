"""The documentation agrees with the code: links, the page of config fields."""

import pathlib
import re
import runpy
import shlex

import numpy as np
import pytest

from configs import base
from reid_jax.runs import folder as run_folder
from tests import ROOT

PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("weights/*/*.md")]
)


def test_the_page_of_config_fields_is_that_of_the_config():
    """`python docs/config_page.py` writes it again."""
    page = runpy.run_path(str(ROOT / "docs" / "config_page.py"))["page"]()
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == page
    config = base.get_config()
    fields = {
        f"{group}.{name}" if name else group
        for group in config
        for name in (config[group] if hasattr(config[group], "keys") else [""])
    }
    described = re.findall(r"^\| `([\w.]+)` \| .+? \| (.+) \|$", page, re.MULTILINE)
    assert {name for name, _ in described} == fields
    assert all(len(text) > 10 for _, text in described)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = _without_code(page.read_text(encoding="utf-8"))
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        if re.match(r"https?://", link):
            continue
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            lost.append(link)
    assert not lost


def _anchors(page: pathlib.Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = _without_code(page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {title.replace(" ", "-") for title in anchors}


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def _commands() -> list[tuple[str, list[str]]]:
    """The documented commands of the project's programs: page and words."""
    commands = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in re.split(r"\n|; do |; done|&&", block):
                match = re.search(r"(?:^|\s)(?:\S*/)?python (.*)", line)
                if match and "…" not in line:
                    words = shlex.split(match[1], comments=True)
                    commands.append((page.name, words))
    return commands


def _flags_of(program: str) -> set[str]:
    """Names of the flags that a program's sources define."""
    if program in ("train.py", "evaluate.py"):
        name = {"train.py": "training", "evaluate.py": "evaluation"}[program]
        sources = [ROOT / f"reid_jax/flags/{part}.py" for part in (name, "tables")]
        sources.append(ROOT / "reid_jax/cli/processes.py")
    elif program == "reid_jax.footage":
        sources = [
            ROOT / "reid_jax/footage/flags.py",
            ROOT / "reid_jax/cli/processes.py",
        ]
    else:
        path = ROOT / program.replace(".py", "").replace(".", "/")
        sources = [path / "__main__.py", path.with_suffix(".py")]
        sources += [ROOT / "benchmarks/measuring.py"] * program.startswith("benchmarks")
    text = "".join(s.read_text(encoding="utf-8") for s in sources if s.exists())
    assert text, program
    return set(re.findall(r'"(?:--)?([a-z][\w]*)"', text)) | {"help"}


def test_documented_commands_have_flags_and_fields_that_exist():
    fields = run_folder.flat(base.get_config())
    commands = [(page, words) for page, words in _commands() if words[0] != "-c"]
    wrong = []
    for page, words in commands:
        program = words[1] if words[0] == "-m" else words[0]
        if program in ("pytest", "pip"):
            continue
        flags = _flags_of(program)
        for word in words[1:]:
            name, _, value = word.removeprefix("--").partition("=")
            if not word.startswith("--"):
                continue
            if name.startswith("config."):
                is_right = name.removeprefix("config.") in fields
            else:
                is_right = name in flags
            if name == "config":
                is_right = (ROOT / value.partition(":")[0]).exists()
            if not is_right and "$" not in word:
                wrong.append((page, program, word))
    assert len(commands) > 50 and not wrong


def _python_block(page: str, text: str) -> str:
    """The Python block of a page that contains `text`."""
    content = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", content, re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if text in block)


def test_the_python_of_the_readme_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {}
    exec(_python_block("README.md", "Run("), names)
    assert names["embeddings"].shape[0] == 3


def test_the_python_for_features_runs():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 8)).astype("f")
    pids, camids = np.repeat(np.arange(20), 6), np.tile([0, 1, 2], 40)
    names = {"query": features[:60], "gallery": features[60:], "blocks": features}
    names |= {"query_pids": pids[:60], "gallery_pids": pids[:60]}
    names |= {"query_camids": camids[:60], "gallery_camids": camids[60:]}
    names |= {"x": features, "x_pids": pids, "y": features[::-1], "y_pids": pids[::-1]}
    exec(_python_block("docs/ranking.md", "summary"), names)
    assert names["index"].shape == (60, 50)


def test_errors_are_those_of_the_programs():
    sources = [ROOT / "train.py", ROOT / "evaluate.py"]
    sources += [*ROOT.glob("reid_jax/**/*.py"), *ROOT.glob("data/**/*.py")]
    text = " ".join(path.read_text(encoding="utf-8") for path in sources)
    # Strings on several lines are one; filled-in values are left out.
    text = re.sub(r'"\s+f?"', "", text)
    text = re.sub(r"\{[^{}]*\}", "…", text)
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    parts = [part.strip() for message in messages for part in message.split("…")]
    lost = [part for part in parts if part.strip(" .:") and part not in text]
    assert len(messages) > 15 and not lost
