"""`benchmarks/all.py`: the page is the scripts' own words and output."""

import json
import sys

import pytest

from benchmarks import all as every

SCRIPT = '''"""Time of {name}.

python benchmarks/{name}.py

Words of {name}.
"""

import os

print("Rendering into a folder")
print("tunables", os.environ["GLIBC_TUNABLES"])
print('{{"results": "{name}"}}')
'''


@pytest.fixture
def root(tmp_path):
    """A folder with a script of each name, and a page with a section that is gone."""
    (tmp_path / "benchmarks").mkdir()
    for name in every.COMMANDS:
        path = tmp_path / "benchmarks" / f"{name}.py"
        path.write_text(SCRIPT.format(name=name))
    (tmp_path / "docs").mkdir()
    page = "# Benchmarks\n\n## Gone\n\n```\n$ python benchmarks/gone.py\n```\n"
    (tmp_path / "docs" / "benchmarks.md").write_text(page)
    (tmp_path / "docs" / "benchmarks.json").write_text('{"gone": 1}')
    return tmp_path


def test_scripts_are_there_and_say_what_they_are():
    for name in every.COMMANDS:
        text = (every.ROOT / "benchmarks" / f"{name}.py").read_text()
        assert f"\n\npython benchmarks/{name}.py" in text


def test_sections_are_renewed_and_others_stay(root, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "mine")
    every.main(["--only=xqda"], root)
    monkeypatch.delenv("GLIBC_TUNABLES")
    every.main(["--only=start"], root)
    page = (root / "docs" / "benchmarks.md").read_text()
    head, start, xqda = page.split("\n## ")
    assert head.startswith("# Benchmarks")
    output = "tunables glibc.malloc.hugetlb=1"
    command = "$ python benchmarks/start.py --rounds=1"
    assert (
        start == f"Time of start.\n\nWords of start.\n\n```\n{command}\n{output}\n```\n"
    )
    assert "tunables mine\n" in xqda  # a user's own value stays
    figures = json.loads((root / "docs" / "benchmarks.json").read_text())
    assert figures == {"start": {"results": "start"}, "xqda": {"results": "xqda"}}


def test_a_script_that_fails_leaves_its_section(root):
    every.main(["--only=xqda"], root)
    before = (root / "docs" / "benchmarks.md").read_text()
    (root / "benchmarks" / "xqda.py").write_text("raise SystemExit(1)")
    with pytest.raises(SystemExit, match=r"benchmarks/xqda\.py failed"):
        every.main(["--only=xqda"], root)
    assert (root / "docs" / "benchmarks.md").read_text() == before


def test_without_pytorch_its_section_stays(root, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(every.importlib.util, "find_spec", lambda name: None)
    every.main(["--only=networks"], root)
    assert "PyTorch is not installed" in capsys.readouterr().out
    assert not (root / "docs" / "benchmarks.md").read_text().count("Time of networks")


def test_unknown_names(root, capsys):
    with pytest.raises(SystemExit):
        every.main(["--only=xqda,growth"], root)
    assert "--only=growth; known: networks, " in capsys.readouterr().err
