"""Who may import whom: the floors of docs/architecture.md, held by the sources."""

import ast
import functools
import graphlib
import subprocess
import sys

import pytest

from tests import ROOT

FLOORS = (
    ("train", "evaluate"),
    ("reid_jax",),  # its __init__, which exports Run
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

TENSORFLOW = (
    "reid_jax/input/decoding.py",
    "reid_jax/export/saved_model.py",
    "data/tracklets.py",
    "data/prepare.py",
)
"""Files that import TensorFlow, beside the builders of datasets."""

PROGRAMS = ("data/prepare.py", "data/cut_video.py")
"""Files of `data/` that are programs, and import from `reid_jax.cli`."""

LIGHT = (
    "reid_jax",
    "reid_jax.runs.run",
    "reid_jax.models.torch_weights",
    "reid_jax.input.rendered",
    "reid_jax.retrieval.ranking",
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


def test_tensorflow_is_where_files_are_decoded_and_datasets_built():
    importers = _importers("tensorflow") | _importers("tensorflow_datasets")
    assert "reid_jax/input/decoding.py" in importers
    others = {path for path in importers if not path.endswith("_dataset_builder.py")}
    assert others <= set(TENSORFLOW)


def test_only_programs_of_data_use_the_command_line():
    of_data = {p for p in _importers("reid_jax.cli") if p.startswith("data/")}
    assert of_data == set(PROGRAMS)


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
