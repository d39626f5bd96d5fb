"""Who may import whom: the floors of docs/architecture.md, held by the sources."""

import ast
import functools
import graphlib
import shutil
import subprocess
import sys

import pytest

from tests import ROOT

FLOORS = (
    ("train", "evaluate"),
    ("reid_jax",),  # its __init__, which exports Run
    ("reid_jax.flags",),
    ("reid_jax.tables",),
    ("reid_jax.config_checks",),
    ("reid_jax.footage",),
    ("reid_jax.report",),
    ("reid_jax.export",),
    ("reid_jax.scoring",),
    ("reid_jax.convert_weights",),
    ("reid_jax.runs",),
    ("reid_jax.steps",),
    ("reid_jax.input",),
    ("data",),
    ("reid_jax.retrieval",),
    ("reid_jax.models",),
    ("reid_jax.cli",),
    ("configs",),
    (
        "reid_jax.losses",
        "reid_jax.clips",
        "reid_jax.parallel",
        "reid_jax.peers",
        "reid_jax.locks",
    ),
    ("reid_jax.files", "reid_jax.angular_losses"),
    ("reid_jax.arrays", "reid_jax.errors", "reid_jax.quantities"),
)
"""Rooms from the top down: a module imports from its own room and from lower floors."""

TENSORFLOW = {"reid_jax/input/decoding.py", "reid_jax/export/saved_model.py"}
"""Files that import TensorFlow."""

DATASETS = {"data/tracklets.py", "data/prepare.py"}
"""Files that import tensorflow-datasets, beside the builders of datasets."""

PROGRAMS = ("data/prepare.py", "data/cut_video.py")
"""Files of `data/` that are programs, and import from `reid_jax.cli`."""

SLOW = {"flax", "optax", "orbax", "tensorflow", "tensorflow_datasets"}
SLOW |= {"matplotlib", "sklearn", "jinja2", "cv2"}
"""Modules that take long to import."""

LIGHT = (
    "reid_jax",
    "reid_jax.runs.run",
    "reid_jax.models.torch_weights",
    "reid_jax.input.rendered",
    "reid_jax.retrieval.ranking",
    "reid_jax.footage.program",
    "data.walkers.stream",
    "data.prepare",
    "data.cut_video",
    "data.ilids_vid.index",
    "data.prid2011.index",
    "train",
    "evaluate",
)
"""Modules that are imported without TensorFlow."""


@functools.cache
def _sources() -> dict[str, ast.Module]:
    """The parsed source of each module of the project."""
    paths = [ROOT / "train.py", ROOT / "evaluate.py"]
    for package in ("reid_jax", "configs", "data"):
        paths += (ROOT / package).rglob("*.py")
    names = {path: path.relative_to(ROOT).with_suffix("").parts for path in paths}
    return {
        ".".join(parts).removesuffix(".__init__"): ast.parse(path.read_text())
        for path, parts in names.items()
    }


def _imports(module: str) -> set[str]:
    """All that a module imports, at its top or in its functions, by full names."""
    found = set()
    for node in ast.walk(_sources()[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@functools.cache
def _arrows() -> dict[str, set[str]]:
    """Module → the modules of the project that it imports."""
    modules = _sources()
    arrows = {}
    for module in modules:
        # `from package import name`: a module, or something in the package's __init__.
        names = {n if n in modules else n.rpartition(".")[0] for n in _imports(module)}
        arrows[module] = (names & modules.keys()) - {module}
    return arrows


def _floor(module: str) -> int:
    """The number of a module's floor, from the top."""
    for number, rooms in enumerate(FLOORS):
        for room in rooms:
            is_inside = module.startswith(f"{room}.") and room != "reid_jax"
            if module == room or is_inside:
                return number
    raise AssertionError(f"{module} is in no room of FLOORS")


def _room(module: str) -> str:
    floor = FLOORS[_floor(module)]
    return next(room for room in floor if module.startswith(room))


def test_imports_go_downwards():
    upwards = [
        f"{module} imports {imported}"
        for module, several in _arrows().items()
        for imported in several
        if _room(module) != _room(imported)
        and _floor(imported) <= _floor(module)
        # The programs are one floor: train.py ends with an evaluation.
        and (module, imported) != ("train", "evaluate")
    ]
    assert upwards == []


def test_no_circle_of_imports():
    order = graphlib.TopologicalSorter(_arrows()).static_order()
    assert len(list(order)) == len(_sources())


def test_configs_import_nothing_of_the_package():
    configs = {m for m in _sources() if m.startswith("configs")}
    assert len(configs) > 10
    for module in configs:
        assert _arrows()[module] <= configs


def _importers(name: str) -> set[str]:
    """Files with an import of `name` or of something in it."""
    return {
        f"{module.replace('.', '/')}.py"
        for module in _sources()
        if any(i == name or i.startswith(f"{name}.") for i in _imports(module))
    }


def test_tensorflow_is_where_frames_are_decoded_and_exported():
    assert _importers("tensorflow") == TENSORFLOW


def test_tensorflow_datasets_is_where_datasets_are_built():
    importers = _importers("tensorflow_datasets")
    others = {path for path in importers if not path.endswith("_dataset_builder.py")}
    assert others == DATASETS


def test_only_programs_of_data_use_the_command_line():
    of_data = {p for p in _importers("reid_jax.cli") if p.startswith("data/")}
    assert of_data == set(PROGRAMS)


@pytest.mark.parametrize(
    "command",
    [
        "train.py --help",
        "train.py --config=configs/demo.py --config.train.lr=1",
        "evaluate.py --helpfull",
        "-m reid_jax.footage link --help",
        "-m reid_jax.export --help",
        "-m data.prepare --help",
    ],
)
def test_help_and_mistakes_wait_for_no_slow_import(command):
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", *command.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ("usage" in ended.stdout + ended.stderr) == command.startswith("-m")
    times = [s for s in ended.stderr.splitlines() if s.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip() for line in times}
    assert "reid_jax.cli.ending" in loaded
    assert not SLOW & loaded


def _modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.split())


def test_most_modules_need_no_tensorflow():
    loaded = _modules_after("\n".join(f"import {module}" for module in LIGHT))
    assert set(LIGHT) <= loaded
    assert not {"tensorflow", "tensorflow_datasets", "torch"} & loaded


_EVALUATION = """
import pathlib
import numpy as np
import evaluate
from reid_jax import Run
from reid_jax.runs import folder
workdir = pathlib.Path({!r})
config = folder.load_config(workdir)
config.eval.metric = "cosine"
evaluate.evaluate(config, workdir)
Run(workdir).embed([np.zeros((2, 64, 32, 3), np.uint8)])
evaluate.print_table("5", workdir, preset="small", dataset="walkers/tiny")
"""


def test_stored_embeddings_tables_and_given_pictures_need_no_tensorflow(
    trained_attention, tmp_path
):
    workdir = shutil.copytree(trained_attention, tmp_path / "run")
    loaded = _modules_after(_EVALUATION.format(str(workdir)))
    assert "reid_jax.input.files" in loaded
    assert not {"tensorflow", "reid_jax.input.decoding"} & loaded


def test_importing_run_loads_neither_tensorflow_nor_matplotlib():
    assert not {"jax", "flax"} & _modules_after("import reid_jax")
    loaded = _modules_after("from reid_jax import Run")
    assert "reid_jax.runs.run" in loaded
    assert not {"tensorflow", "matplotlib"} & loaded


@pytest.mark.parametrize(
    "module", ["reid_jax.clips", "reid_jax.scoring.color_histogram"]
)
def test_pure_modules_need_no_flax(module):
    assert "flax" not in _modules_after(f"import {module}")
