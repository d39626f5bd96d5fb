"""The documentation agrees with the code: links, the page of config fields."""

import pathlib
import re
import runpy

import pytest

from configs import base
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
    """Of a page's headings, as GitHub makes them."""
    text = _without_code(page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {title.replace(" ", "-") for title in anchors}


def _without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def test_errors_are_those_of_the_programs():
    sources = [ROOT / "train.py", ROOT / "evaluate.py"]
    sources += [*ROOT.glob("reid_jax/**/*.py"), *ROOT.glob("data/**/*.py")]
    text = " ".join(path.read_text(encoding="utf-8") for path in sources)
    # Strings on several lines are one; what is filled in is left out.
    text = re.sub(r'"\s+f?"', "", text)
    text = re.sub(r"\{[^{}]*\}", "…", text)
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    parts = [part.strip() for message in messages for part in message.split("…")]
    lost = [part for part in parts if part.strip(" .:") and part not in text]
    assert len(messages) > 15 and not lost
