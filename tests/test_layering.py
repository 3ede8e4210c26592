"""widgets -> session -> core, and a light `import napari_samstar`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

GUI = ["napari", "qtpy", "magicgui", "superqt", "pyqtgraph", "PyQt5", "PyQt6", "PySide2", "PySide6"]

IMPORT_EVERY_MODULE = f"""
import importlib, json, pkgutil, sys
import napari_samstar.core as core

names = [m.name for m in pkgutil.walk_packages(core.__path__, "napari_samstar.core.")]
leaks = {{}}
for name in [*names, "napari_samstar.app.session", "napari_samstar.sample_data"]:
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
print(json.dumps({"seconds": seconds, "torch": "torch" in sys.modules}))
"""


def python(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_layers_hold(repository):
    report = python("from importlinter.cli import lint_imports_command as c; c()", repository)
    assert "0 broken" in report


def test_core_loads_neither_qt_nor_napari(tmp_path):
    result = json.loads(python(IMPORT_EVERY_MODULE, tmp_path).splitlines()[-1])
    assert len(result["names"]) > 20
    assert result["leaks"] == {}


def test_the_package_imports_fast_and_without_torch(tmp_path):
    runs = [json.loads(python(IMPORT_THE_PACKAGE, tmp_path)) for _ in range(3)]
    assert not any(run["torch"] for run in runs)
    assert min(run["seconds"] for run in runs) < 0.3
