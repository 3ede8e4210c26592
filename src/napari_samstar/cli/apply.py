"""`samstar apply`: repeat a recipe on one or more images."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_samstar.cli import options
from napari_samstar.cli.console import emit, say, show_files, tracked
from napari_samstar.cli.errors import FAILED, complain
from napari_samstar.cli.inputs import (
    Calibration,
    model_choice,
    open_image,
    say_model,
    say_notes,
)
from napari_samstar.cli.segment import show_summary, summary
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.results.recipe import Recipe

Report = dict[str, Any]


def apply(
    recipe: Annotated[Path, typer.Argument(help="A .samstar.json file.", show_default=False)],
    images: Annotated[list[Path], typer.Argument(help="Images to segment.", show_default=False)],
    *,
    out: options.Out,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Where the recipe's weights lie. (default: as it says)"),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter", help="What SAM had learned from corrections: the file saved with it."
        ),
    ] = None,
    device: options.OnDevice = options.Device.auto,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
    pixel_size: options.PixelSize = None,
    unit: options.Unit = None,
) -> None:
    """Repeat a recipe on one or more images; the same image gives the same labels.

    Several images get a folder each. One that fails is reported, the others are still done.
    """
    from napari_samstar.api.pipeline import iter_load_model
    from napari_samstar.core.results.recipe import Recipe

    wanted = Recipe.load(recipe)
    with tracked() as tracker:
        loaded = tracker.run(iter_load_model(model_choice(model or wanted.model, device.value)))
    say_model(loaded)
    loaded = _with_adapter(loaded, adapter)
    wanted.check_model(loaded)
    _warn_of_another_device(wanted, loaded)
    calibration = Calibration(pixel_size, unit)
    if len(images) == 1:
        reports = [_apply_one(wanted, loaded, images[0], out, calibration)]
    else:
        reports = _apply_all(wanted, loaded, dict(zip(folders(images, out), images, strict=True)),
                             calibration)  # fmt: skip
    failed = [r for r in reports if "error" in r]
    if as_json:
        emit({"command": "apply", "recipe": str(recipe), "images": reports})
    else:
        for report in (r for r in reports if "error" not in r):
            show_summary(report)
            show_files(Path(report["folder"]), report["files"])
    if failed:
        raise typer.Exit(FAILED)


def _with_adapter(model: LoadedModel, path: Path | None) -> LoadedModel:
    if path is None:
        return model
    from napari_samstar.core.adaptation import weights

    learned, _ = weights.load(path, model)
    return weights.adapted(model, learned)


def _warn_of_another_device(recipe: Recipe, model: LoadedModel) -> None:
    """Say where bits may differ: another device or number of threads rounds differently."""
    import torch

    here = {"device": str(model.device), "threads": torch.get_num_threads()}
    before = {key: recipe.software.get(key) for key in here}
    if before != here:
        say(
            f"The recipe was made on {before['device']} with {before['threads']} threads, this is "
            f"{here['device']} with {here['threads']}: single pixels may differ."
        )


def folders(images: list[Path], out: Path) -> list[Path]:
    """Return a folder in `out` for each image, named after it, numbered where names repeat."""
    found: list[Path] = []
    for path in images:
        n = 1
        folder = out / path.stem
        while folder in found:
            n += 1
            folder = out / f"{path.stem}_{n}"
        found.append(folder)
    return found


def _apply_all(
    recipe: Recipe, model: LoadedModel, images: dict[Path, Path], calibration: Calibration
) -> list[Report]:
    reports = []
    for folder, path in images.items():
        try:
            reports.append(_apply_one(recipe, model, path, folder, calibration))
        except UserError as error:
            complain(str(error))
            reports.append({"image": {"name": str(path)}, "error": str(error)})
    return reports


def _apply_one(
    recipe: Recipe, model: LoadedModel, path: Path, out: Path, calibration: Calibration
) -> Report:
    from napari_samstar.api.pipeline import Applied, iter_apply
    from napari_samstar.core.models.encoder import default_cache
    from napari_samstar.core.results.outputs import staged, write_result

    start = time.perf_counter()
    done: list[Applied] = []
    with staged(out) as folder:
        image = open_image(path, recipe.mapping, calibration)
        with tracked() as tracker:
            tracker.run(iter_apply(recipe, [image], model, default_cache()), done.append)
        result = done[0].result
        if result is None:
            raise UserError(done[0].problem)
        say_notes(result.image)
        files = write_result(result, folder)
    return summary(result, out, files, time.perf_counter() - start)
