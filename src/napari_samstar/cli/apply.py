"""`samstar apply`: repeat a recipe on images, folders and stacks, here or on a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from enum import StrEnum
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
from napari_samstar.cli.paths import expand
from napari_samstar.cli.segment import show_summary, summary
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.api.batch import Finished, ImageJob
    from napari_samstar.api.batch_plane import Decoder
    from napari_samstar.api.batch_stack import StackResult
    from napari_samstar.api.batch_summary import ImageEntry
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.registry import ModelChoice
    from napari_samstar.core.results.recipe import Recipe

Report = dict[str, Any]

STACKS, CLUSTER = "Stacks", "Cluster"


class Link(StrEnum):
    """How objects of neighbouring planes are linked."""

    none = "none"
    depth = "depth"
    time = "time"


Planes = Annotated[
    Any,
    typer.Option(
        "--planes", parser=options.parse_plane_text, metavar="I,J-K...", rich_help_panel=STACKS,
        help="Which planes of a stack, such as 0,4,8 or 0-20 or 0:40:4. (default: all)",
    ),
]  # fmt: skip
Linked = Annotated[
    Link | None,
    typer.Option(
        "--link", rich_help_panel=STACKS, show_default=False,
        help="Give objects one id through the planes of a stack, in depth or time. "
        "(default: as its axes say: Z is depth, T is time)",
    ),
]  # fmt: skip
PlaneDistance = Annotated[
    float | None,
    typer.Option(
        min=0, rich_help_panel=STACKS,
        help="Distance of neighbouring planes, in the unit of the pixel size, for volumes. "
        "(default: as the file says)",
    ),
]  # fmt: skip
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|local:N", rich_help_panel=CLUSTER,
        help="Decode tiles on a dask.distributed cluster whose workers see the same files, or on N "
        "workers of this machine. Needs the extra 'cluster'.",
    ),
]  # fmt: skip
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, rich_help_panel=CLUSTER,
        help="Threads of each process that runs the model; another number changes its last bits. "
        "(default: as torch chooses; with local:N the cores shared among the workers)",
    ),
]  # fmt: skip


def apply(
    recipe: Annotated[Path, typer.Argument(help="A .samstar.json file.", show_default=False)],
    images: Annotated[
        list[Path],
        typer.Argument(
            help="Images, stacks, OME-Zarr, folders of images, or patterns such as '*.tif'.",
            show_default=False,
        ),
    ],
    *,
    out: options.Out,
    redo: Annotated[
        bool, typer.Option("--redo", help="Do images again whose result is there already.")
    ] = False,
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
    precision: Annotated[
        options.Precision | None,
        typer.Option("--precision", help="Of the model. (default: as the recipe says)"),
    ] = None,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
    pixel_size: options.PixelSize = None,
    unit: options.Unit = None,
    planes: Planes = None,
    link: Linked = None,
    plane_distance: PlaneDistance = None,
    scheduler: Scheduler = None,
    threads: Threads = None,
) -> None:
    """Repeat a recipe on images, stacks and folders; the same image gives the same labels.

    Several images, a folder and a pattern get a folder for each image, and two tables over all of
    them. One that fails is reported, the others are still done.

    The same command again goes on where it was stopped or killed: an image is skipped where OUT
    has its result, made with the same recipe from the same pixels, and of a large image or a stack
    the finished tiles and planes are used.
    """
    from napari_samstar.api.batch import BatchOptions, iter_batch
    from napari_samstar.api.batch_folder import only_run
    from napari_samstar.api.batch_summary import write_summary
    from napari_samstar.core.models.encoder import default_cache
    from napari_samstar.core.results.recipe import Recipe

    wanted = Recipe.load(recipe)
    paths = expand(images)
    _set_threads(threads, scheduler)
    precise = precision.value if precision else wanted.precision
    choice = model_choice(model or wanted.model, device.value, precise)
    loaded = _loaded(wanted, choice, adapter)
    opener = _Opener(wanted, Calibration(pixel_size, unit), plane_distance)
    single = len(images) == 1 and paths == [images[0].expanduser()]
    outs = [out] if single else folders(paths, out)
    jobs = [opener.job(path, folder) for path, folder in zip(paths, outs, strict=True)]
    chosen = BatchOptions(planes, None if link is None else link.value, redo)
    reports: list[Report] = []
    entries: list[ImageEntry] = []

    def take(step: Finished) -> None:
        report = _reported(step)
        reports.append(report)
        entries.append(_entry(step, report))

    with only_run(out), _decoder(scheduler, loaded, adapter) as decoder, tracked() as tracker:
        tracker.run(iter_batch(wanted, jobs, loaded, default_cache(), chosen, decoder), take)
        tables = [] if single else write_summary(entries, out)
    if single and "error" in reports[0]:
        raise UserError(reports[0]["error"])
    _show(recipe, reports, out, tables, as_json=as_json)


def folders(images: list[Path], out: Path) -> list[Path]:
    """Return a folder in `out` for each image, named after it, numbered where names repeat."""
    found: list[Path] = []
    for path in images:
        n = 1
        stem = path.stem.removesuffix(".ome")
        folder = out / stem
        while folder in found:
            n += 1
            folder = out / f"{stem}_{n}"
        found.append(folder)
    return found


class _Opener:
    """Makes jobs of paths; images are opened when their turn comes."""

    def __init__(self, recipe: Recipe, calibration: Calibration, distance: float | None) -> None:
        self._recipe, self._calibration, self._distance = recipe, calibration, distance

    def job(self, path: Path, out: Path) -> ImageJob:
        """Return the job of one image, whose result goes to `out`."""
        from napari_samstar.api.batch import ImageJob

        return ImageJob(str(path), out, lambda: self._open(path))

    def _open(self, path: Path) -> LoadedImage:
        image = open_image(path, self._recipe.mapping, self._calibration)
        return image if self._distance is None else image.replace(z_step=self._distance)


# --- the model and where it runs ----------------------------------------------------------------


def _loaded(recipe: Recipe, choice: ModelChoice, adapter: Path | None) -> LoadedModel:
    """Return the recipe's model; UserError where its weights are others."""
    from napari_samstar.api.pipeline import iter_load_model

    with tracked() as tracker:
        loaded = tracker.run(iter_load_model(choice))
    say_model(loaded)
    loaded = _with_adapter(loaded, adapter)
    recipe.check_model(loaded)
    _warn_of_another_device(recipe, loaded)
    return loaded


def _with_adapter(model: LoadedModel, path: Path | None) -> LoadedModel:
    if path is None:
        return model
    from napari_samstar.core.adaptation import weights

    learned, _ = weights.load(path, model)
    return weights.adapted(model, learned)


def _set_threads(threads: int | None, scheduler: str | None) -> None:
    """Set the number of torch threads of this process, which those of workers follow."""
    if threads is None and scheduler is None:
        return
    import torch

    if threads is None and scheduler is not None:
        from napari_samstar.api.cluster import default_threads

        threads = default_threads(scheduler)
    assert threads is not None
    torch.set_num_threads(threads)


@contextlib.contextmanager
def _decoder(
    scheduler: str | None, model: LoadedModel, adapter: Path | None
) -> Iterator[Decoder | None]:
    """Yield what decodes tiles on a cluster; None without one."""
    if scheduler is None:
        yield None
        return
    from napari_samstar.api.cluster import connected

    with connected(scheduler, model, None if adapter is None else adapter.absolute()) as cluster:
        yield cluster


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


# --- what is said -------------------------------------------------------------------------------


def _reported(finished: Finished) -> Report:
    """Say what is to be said of a job that has ended, and return its part of --json."""
    from napari_samstar.core.results.result import Result

    job, found = finished.job, finished.result
    if finished.state == "failed":
        complain(f"{job.name}: {finished.problem}" if _unnamed(finished) else finished.problem)
        return {"image": {"name": job.name}, "error": finished.problem}
    assert finished.recipe is not None
    if found is None:
        say(f"{job.name}: skipped, its result is in {job.out} (--redo does it again).")
        return {"image": finished.recipe.image, "skipped": True, "folder": str(job.out)}
    files = list(finished.files)
    if isinstance(found, Result):
        say_notes(found.image)
        return summary(found, job.out, files, finished.seconds)
    for note in found.notes:
        say(f"{found.recipe.image['name']}: {note}")
    return _stack_summary(found, job.out, files, finished.seconds)


def _entry(finished: Finished, report: Report) -> ImageEntry:
    """Return the image's part of the tables over all images."""
    from napari_samstar.api.batch_summary import ImageEntry

    notes = report["image"].get("notes", ()) if finished.state == "done" else ()
    reason = (finished.problem,) if finished.problem else ()
    return ImageEntry(finished.job.name, finished.job.out, finished.state, (*notes, *reason))


def _unnamed(finished: Finished) -> bool:
    """Return whether the sentence does not say which image failed."""
    return Path(finished.job.name).name not in finished.problem


def _stack_summary(found: StackResult, out: Path, files: list[str], seconds: float) -> Report:
    """Return what is said about the result of a stack, as `segment.summary` does of an image."""
    import numpy as np

    recipe = found.recipe
    unit = recipe.image["unit"]
    diameters = next((v for k, v in found.table.items() if k.startswith("diameter_")), ())
    return {
        "image": {**recipe.image, "notes": list(found.notes)},
        "model": {"name": recipe.model, "sha256": recipe.model_sha256},
        "device": recipe.software["device"],
        "settings": recipe.config.to_dict(),
        "planes": found.n_planes,
        "objects": len(found.table["label"]),
        "median_diameter": float(np.median(diameters)) if len(diameters) else None,
        "unit": unit,
        "seconds": round(seconds, 2),
        "folder": str(out),
        "files": files,
    }


def _show(
    recipe: Path, reports: Sequence[Report], out: Path, tables: list[str], *, as_json: bool
) -> None:
    """Print all results, and exit with the code of a failure where one failed."""
    if as_json:
        emit({"command": "apply", "recipe": str(recipe), "images": reports, "tables": tables})
    else:
        for report in (r for r in reports if "files" in r):
            show_summary(report)
            show_files(Path(report["folder"]), report["files"])
        if tables:
            show_files(out, tables)
    if any("error" in report for report in reports):
        raise typer.Exit(FAILED)
