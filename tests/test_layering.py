"""The structure of the package: contracts, no import cycles, a light `import napari_samstar`."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

GUI = ["napari", "qtpy", "magicgui", "superqt", "pyqtgraph", "PyQt5", "PyQt6", "PySide2", "PySide6"]

IMPORT_EVERY_MODULE = f"""
import importlib, json, pkgutil, sys
import napari_samstar.core as core

names = [m.name for m in pkgutil.walk_packages(core.__path__, "napari_samstar.core.")]
leaks = {{}}
for name in [*names, "napari_samstar.api.facade", "napari_samstar.app.session",
             "napari_samstar.app.correcting", "napari_samstar.sample_data"]:
    importlib.import_module(name)
    loaded = {{module.partition(".")[0] for module in sys.modules}} & set({GUI!r})
    if loaded:
        leaks[name] = sorted(loaded)
        break
print(json.dumps({{"names": names, "leaks": leaks}}))
"""

IMPORT_THE_PACKAGE = """
import json, sys, time
start = time.perf_counter()
import napari_samstar
seconds = time.perf_counter() - start
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"seconds": seconds, "loaded": loaded}))
"""

MAX_LEVELS = 8  # the longest chain of imports between modules of core


def python(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def imports() -> dict[str, set[str]]:
    """Return the modules that each module of the package imports, wherever in its file."""
    graph = grimp.build_graph("napari_samstar", cache_dir=None)
    return {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}


def packages(root: Path, *names: str) -> set[str]:
    """Return the modules and packages directly inside `napari_samstar.<names>`."""
    folder = root.joinpath("src", "napari_samstar", *names)
    parts = {p.stem for p in folder.glob("*.py")} | {p.parent.name for p in folder.glob("*/*.py")}
    return parts - {"__init__"}


def test_the_contracts_hold(repository):
    report = python("from importlinter.cli import lint_imports_command as c; c()", repository)
    assert "0 broken" in report


def test_no_modules_import_each_other():
    # static_order raises graphlib.CycleError with the modules of a cycle
    order = list(TopologicalSorter(imports()).static_order())
    assert len(order) > 100


def test_core_is_a_few_levels_deep():
    levels: dict[str, int] = {}
    for name in TopologicalSorter(imports()).static_order():
        below = [levels[n] for n in imports()[name] if n.startswith("napari_samstar.core.")]
        levels[name] = 1 + max(below, default=0)
    core = {n: level for n, level in levels.items() if n.startswith("napari_samstar.core.")}
    deepest = max(core, key=core.__getitem__)
    assert core[deepest] <= MAX_LEVELS, f"{deepest} is on level {core[deepest]}"


def uses_of_sam(path: Path) -> Iterator[str]:
    """Yield where a module takes a model's `.sam`, or segment_anything's models or predictor."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr == "sam":
            yield f"{path.name}:{node.lineno} .sam"
        if isinstance(node, ast.ImportFrom):
            name = node.module or ""
            # utils.amg holds functions on arrays: the grid of points, crop boxes, run lengths
            if name.startswith("segment_anything") and name != "segment_anything.utils.amg":
                yield f"{path.name}:{node.lineno} {name}"


def test_only_the_models_package_sees_sam_itself(repository):
    source = repository / "src" / "napari_samstar"
    models = source / "core" / "models"
    outside = [p for p in source.rglob("*.py") if models not in p.parents]
    assert [use for path in outside for use in uses_of_sam(path)] == []
    assert any(True for path in models.rglob("*.py") for _ in uses_of_sam(path))


def test_tests_lie_where_the_code_lies(repository):
    assert {p.name for p in (repository / "tests" / "core").iterdir() if p.is_dir()} - {
        "__pycache__"
    } <= packages(repository, "core")


def test_core_loads_neither_qt_nor_napari(tmp_path):
    result = json.loads(python(IMPORT_EVERY_MODULE, tmp_path).splitlines()[-1])
    assert len(result["names"]) > 20
    assert result["leaks"] == {}


def test_the_package_imports_fast_and_without_torch_or_qt(tmp_path):
    runs = [json.loads(python(IMPORT_THE_PACKAGE, tmp_path)) for _ in range(3)]
    assert not {"torch", *GUI} & {name for run in runs for name in run["loaded"]}
    assert min(run["seconds"] for run in runs) < 0.3
