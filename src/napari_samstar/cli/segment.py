"""`samstar segment`: one configuration on one image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_samstar.cli import options
from napari_samstar.cli.console import emit, show, show_files, table, tracked
from napari_samstar.cli.inputs import (
    Calibration,
    View,
    at_plane,
    model_choice,
    open_image,
    say_model,
    say_notes,
)
from napari_samstar.core.amg.config import AmgConfig  # noqa: TC001 - typer reads annotations

if TYPE_CHECKING:
    from napari_samstar.core.results.result import Result


@options.with_settings(lambda setting: True)
@options.with_view
def segment(
    image: Annotated[Path, typer.Argument(help="TIFF, PNG, JPEG or BMP.", show_default=False)],
    *,
    out: options.Out,
    settings: AmgConfig,
    view: View,
    calibration: Calibration,
    model: options.Model = "pocket",
    device: options.OnDevice = options.Device.auto,
    precision: options.HowPrecise = options.Precision.reference,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
    plane: options.OnePlane = None,
    save_view: options.SaveView = False,
) -> None:
    """Segment an image with one set of SAM's settings.

    Writes recipe, labels, measurements and an overlay picture. Of a large image finished tiles are
    kept: the same command goes on where it was stopped.
    """
    from napari_samstar.api.pipeline import iter_segment
    from napari_samstar.core.amg.tile_store import TileStore
    from napari_samstar.core.models.encoder import default_cache
    from napari_samstar.core.results.outputs import VIEW, staged, write_result, write_view

    start = time.perf_counter()
    with staged(out) as folder:
        loaded = at_plane(open_image(image, view, calibration), plane)
        choice = model_choice(model, device.value, precision.value)
        with tracked() as tracker:
            work = iter_segment(loaded, choice, settings, default_cache(), keep_tiles=True)
            result = tracker.run(work)
        say_notes(result.image)
        say_model(result.model)
        files = write_result(result, folder)
        if save_view:
            files.append(write_view(result.image, folder / VIEW))
    TileStore.of(result.image, result.config, result.model).remove()
    about = summary(result, out, files, time.perf_counter() - start)
    if as_json:
        emit({"command": "segment", **about})
        return
    show_summary(about)
    show_files(out, files)


def summary(result: Result, out: Path, files: list[str], seconds: float) -> dict[str, Any]:
    """Return what is said about a result, ready for JSON."""
    import numpy as np

    image, recipe = result.image, result.recipe
    diameters = result.table[f"diameter_{image.unit}"]
    return {
        "image": {**recipe.image, "notes": list(image.notes)},
        "model": {"name": recipe.model, "sha256": recipe.model_sha256},
        "device": recipe.software["device"],
        "settings": recipe.config.to_dict(),
        "objects": int(result.labels.max(initial=0)),
        "median_diameter": float(np.median(diameters)) if len(diameters) else None,
        "unit": image.unit,
        "seconds": round(seconds, 2),
        "folder": str(out),
        "files": files,
    }


def show_summary(about: dict[str, Any]) -> None:
    """Print how many objects there are and how large."""
    rows = table(about["image"]["name"], "", "")
    rows.show_header = False
    rows.add_row("Objects", str(about["objects"]))
    if about["median_diameter"] is not None:
        rows.add_row("Median diameter", f"{about['median_diameter']:.4g} {about['unit']}")
    rows.add_row("Time", f"{about['seconds']:.1f} s")
    show(rows)
