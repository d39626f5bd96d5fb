"""python -m reid_jax.export: the commands and the code of docs/export.md."""

import json
import re
import shutil
import sys

import numpy as np
import pytest

from reid_jax import Run
from reid_jax.export import __main__ as command
from tests import ROOT
from tests.export.test_formats import needs_onnx

OUT = {"stablehlo": "demo.stablehlo", "onnx": "demo.onnx"}
OUT["saved_model"] = "demo_saved_model"
_DOCS = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")


def _export(workdir, format, out, *others):
    command.main(
        [f"--workdir={workdir}", f"--format={format}", f"--out={out}", *others]
    )


def _refused(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as end:
        _export(*arguments)
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    "format",
    [
        "stablehlo",
        pytest.param("onnx", marks=[pytest.mark.slow, needs_onnx]),
        pytest.param("saved_model", marks=pytest.mark.slow),
    ],
)
def test_the_code_of_the_docs_reads_it(format, trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / OUT[format]
    if format != "saved_model":
        out.write_text("an older file")
    _export(trained, format, out.name)
    printed = capsys.readouterr().out
    assert f"written to {out.name} and {out.name}.json\n" in printed
    assert f'("{out.name}"' in printed.splitlines()[-2]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(out.name, f"{out.name}.json")
    ]
    inside = [path for path in out.rglob("*") if path.is_file()] or [out]
    assert not any(str(ROOT).encode() in path.read_bytes() for path in inside)
    assert f"--format={format}" in _DOCS and f"--out={out.name}\n" in _DOCS
    blocks = re.findall(r"^```python\n(.*?)^```", _DOCS, re.MULTILINE | re.DOTALL)
    (code,) = (block for block in blocks if f'"{out.name}"' in block)
    names = {}
    exec(code, names)
    run = Run(trained)
    expected = run.embed(list(names["clips"]))
    np.testing.assert_allclose(names["embeddings"], expected, rtol=1e-5, atol=1e-5)
    about = json.loads((tmp_path / f"{out.name}.json").read_text())
    assert about["embedding"] == {
        "dtype": "float32",
        "shape": ["B", run.embed([]).shape[1]],
    }
    assert about["weights"] == run.fingerprint
    (threshold,) = about["thresholds"]
    assert threshold["metric"] == "l2" and threshold["dataset"] == "walkers/tiny"


def test_what_cannot_be_is_one_line(trained, tmp_path, monkeypatch, capsys):
    assert "holds no run" in _refused(capsys, tmp_path, "onnx", tmp_path / "a")
    line = _refused(capsys, trained, "stablehlo", tmp_path)
    assert line.endswith(f"--out={tmp_path} is a folder; a file is needed.")
    line = _refused(capsys, trained, "saved_model", trained)
    assert line.endswith(f"--out={trained} exists; a new folder is needed.")
    line = _refused(capsys, trained, "onnx", tmp_path / "a", "--dtype=bfloat16")
    assert "--dtype=float32" in line
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    line = _refused(capsys, trained, "onnx", tmp_path / "a")
    assert line.endswith("pip install --no-deps -r requirements-onnx.txt")
    shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    line = _refused(capsys, tmp_path / "run", "stablehlo", tmp_path / "a")
    assert "holds no latest checkpoint yet; train first." in line
    with pytest.raises(SystemExit) as end:
        _export(trained, "tflite", tmp_path / "a")
    assert end.value.code == 2
    assert "invalid choice: 'tflite'" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
