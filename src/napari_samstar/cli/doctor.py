"""`samstar doctor`: what works on this machine, and what to do where something does not."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import typer

from napari_samstar.cli import options  # noqa: TC001 - typer reads annotations
from napari_samstar.cli.console import emit, out
from napari_samstar.cli.errors import FAILED
from napari_samstar.core.errors import UserError
from napari_samstar.core.models.registry import REGISTRY
from napari_samstar.version import __version__

PACKAGES = ("torch", "torchvision", "segment-anything", "numpy", "scikit-image", "pymoo", "napari")
QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
ENOUGH_MEMORY = 4 * 2**30
"""Free bytes below which tuning a large image may fail."""


@dataclass(frozen=True)
class Diagnosis:
    """One finding; `advice` says what to do where it is not well."""

    name: str
    found: str
    well: bool = True
    advice: str = ""
    needed: bool = True  # without it nothing works on the command line


def doctor(*, as_json: options.AsJson = False, verbose: options.Verbose = False) -> None:
    """Check this installation and say what to do for each problem.

    Exits with 1 where something that everything needs is not well.
    """
    checks = [check for look in LOOKS for check in look()]
    broken = any(c.needed and not c.well for c in checks)
    if as_json:
        emit({"command": "doctor", "well": not broken, "checks": [asdict(c) for c in checks]})
    else:
        _show(checks, broken)
    if broken:
        raise typer.Exit(FAILED)


def _versions() -> Iterator[Diagnosis]:
    yield Diagnosis("napari-samstar", __version__)
    yield Diagnosis("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        try:
            yield Diagnosis(package, metadata.version(package))
        except metadata.PackageNotFoundError:
            yield Diagnosis(
                package, "not installed", False, "Run 'pip install napari-samstar' again."
            )


def _hardware() -> Iterator[Diagnosis]:
    import psutil
    import torch

    from napari_samstar.core.models.device import choose_device

    yield Diagnosis("Device", choose_device().reason)
    yield Diagnosis("Threads", f"{torch.get_num_threads()} of {os.cpu_count()} processor cores")
    free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    yield Diagnosis(
        "Memory",
        f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free",
        free >= ENOUGH_MEMORY,
        "Close other programs before tuning large images.",
        needed=False,
    )


def _cache() -> Iterator[Diagnosis]:
    from napari_samstar.core.models.downloads import models_folder

    folder = models_folder().parent
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else 0
    yield Diagnosis(
        "Cache",
        f"{folder} ({size / 2**20:,.0f} MiB)",
        _can_write(folder),
        "Set SAMSTAR_CACHE to a folder of yours; until then nothing is kept between runs.",
        needed=False,
    )


def _can_write(folder: Path) -> bool:
    there = next(p for p in (folder, *folder.parents) if p.exists())
    return there.is_dir() and os.access(there, os.W_OK)


def _models() -> Iterator[Diagnosis]:
    from napari_samstar.core.models.downloads import local_file

    here = [name for name, info in REGISTRY.items() if local_file(info).is_file()]
    yield Diagnosis(
        "Bundled model",
        "pocket is here" if "pocket" in here else "pocket is missing",
        "pocket" in here,
        "Reinstall napari-samstar, or give another model with --model.",
    )
    others = [name for name in here if name != "pocket"]
    yield Diagnosis("Downloaded models", ", ".join(others) or "none (none is needed)")


def _window() -> Iterator[Diagnosis]:
    found = [name for name in QT_BINDINGS if importlib.util.find_spec(name) is not None]
    yield Diagnosis(
        "Qt for napari",
        ", ".join(found) or "none",
        bool(found),
        "To use the plugin's window: pip install 'napari[pyqt6]'. The command line needs none.",
        needed=False,
    )


def _samples() -> Iterator[Diagnosis]:
    advice = "Reinstall napari-samstar; only 'samstar demo' and Open Sample need them."
    try:
        from napari_samstar import sample_data

        names = [name for name in sample_data.names() if Path(sample_data.path(name)).is_file()]
    except (ImportError, OSError, UserError):
        names = []
    yield Diagnosis("Samples", ", ".join(names) or "none", bool(names), advice, needed=False)


LOOKS = (_versions, _hardware, _cache, _models, _window, _samples)


def _show(checks: list[Diagnosis], broken: bool) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 1))
    for check in checks:
        mark = "[green]ok" if check.well else "[red]!!" if check.needed else "[yellow]--"
        table.add_row(mark, f"[bold]{check.name}", check.found)
        if not check.well:
            table.add_row("", "", f"[yellow]{check.advice}")
    out.print(table)
    typer.echo(
        "Something needed is not well: see above." if broken else "All that is needed works."
    )
