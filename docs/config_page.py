"""Writes docs/config.md, all fields of a config, from the comments of configs/base.py.

python docs/config_page.py
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from configs import base

_HERE = pathlib.Path(__file__).resolve().parent
_HEAD = """# Config fields

Every field of `configs/base.py`: what it means, and its default. Set one on the command
line as `--config.train.epochs=100`; a list is written
`--config.data.mixture="('mars','ls_vid')"`. P1 is Gao & Nevatia 2018, "code" its
published code, "paper 2" Kansal & Subramanyam 2018. This page is written by
`python docs/config_page.py`."""


def page() -> str:
    """The page as Markdown: a table for each group of fields."""
    config = base.get_config()
    source = (_HERE.parent / "configs" / "base.py").read_text(encoding="utf-8")
    rows, comment = [_HEAD, *_table("General", "")], []
    for line in source.splitlines():
        if line.startswith("    # "):
            comment.append(line[6:])
            continue
        if field := re.match(r"    c\.(\w+)(?:\.(\w+))? = ", line):
            group, name = field.groups()
            text = " ".join(comment)
            if name is None and hasattr(config[group], "keys"):
                rows += _table(f"`{group}`", text)
            else:
                path = group if name is None else f"{group}.{name}"
                value = config[group] if name is None else config[group][name]
                default = "empty" if value in (None, ()) else f"`{value!r}`"
                rows.append(f"| `{path}` | {default} | {text} |")
        comment = []
    return "\n".join(rows) + "\n"


def _table(title: str, text: str) -> list[str]:
    intro = [text, ""] if text else []
    return [
        "",
        f"## {title}",
        "",
        *intro,
        "| field | default | meaning |",
        "|---|---|---|",
    ]


if __name__ == "__main__":
    (_HERE / "config.md").write_text(page(), encoding="utf-8")
    print(f"written to {_HERE / 'config.md'}")
