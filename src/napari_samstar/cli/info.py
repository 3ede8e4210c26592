"""`samstar info`: what is understood of a file, and what SAM would see of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_samstar.cli import options
from napari_samstar.cli.console import emit, out
from napari_samstar.cli.errors import FAILED, complain
from napari_samstar.cli.inputs import Calibration, View, at_plane, open_image
from napari_samstar.cli.paths import expand
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.micrograph import Micrograph


@options.with_view
def info(
    images: Annotated[
        list[Path],
        typer.Argument(help="Images, stacks, OME-Zarr, folders or patterns.", show_default=False),
    ],
    *,
    view: View,
    calibration: Calibration,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
    plane: options.OnePlane = None,
    save_view: Annotated[
        Path | None,
        typer.Option(
            "--save-view", metavar="FILE", rich_help_panel=options.IMAGE,
            help="Write what SAM sees of the image as PNG.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Say what is understood of images: axes, channels, sizes, and what SAM would see.

    Nothing is segmented.
    """
    paths = expand(images)
    if save_view is not None and len(paths) > 1:
        raise UserError("--save-view writes one picture: give one image.")
    reports = []
    for path in paths:
        try:
            image = at_plane(open_image(path, view, calibration), plane)
            reports.append(_about(image, image.prepare(), save_view))
        except UserError as error:
            if len(paths) == 1:
                raise
            complain(str(error))
            reports.append({"file": str(path), "error": str(error)})
    if as_json:
        emit({"command": "info", "images": reports})
    else:
        for report in (r for r in reports if "error" not in r):
            _show(report)
    if any("error" in report for report in reports):
        raise typer.Exit(FAILED)


def _about(image: LoadedImage, seen: Micrograph, save_view: Path | None) -> dict[str, Any]:
    """Return what is known of an image, ready for JSON."""
    from napari_samstar.core.image.channels import channel_names, n_channels
    from napari_samstar.core.results.outputs import write_view

    if save_view is not None:
        write_view(seen, save_view)
    array = image.finest
    return {
        "file": str(image.path),
        "name": image.name,
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "axes": image.axes,
        "pixel_size": None if seen.pixel_size is None else list(seen.pixel_size),
        "unit": seen.unit,
        "z_step": image.z_step,
        "frame_time_s": image.frame_time,
        "channels": n_channels(image),
        "channel_names": list(channel_names(image)),
        "images_in_file": list(image.series),
        "image_read": image.series_index,
        "sam_sees": {
            "shape": list(seen.shape),
            "plane": seen.mapping.plane and list(seen.mapping.plane),
            "mapping": seen.mapping.to_dict(),
            "region": seen.region.to_dict(),
            "share_of_the_plane": round(seen.region.share((0, 0, *seen.shape[::-1])), 4),
        },
        "notes": list(seen.notes),
    }


def _show(about: dict[str, Any]) -> None:
    """Print a table of one image."""
    from rich.table import Table

    rows = Table(title=about["name"], title_justify="left", title_style="bold", show_header=False)
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for name, text in _lines(about):
        rows.add_row(name, text)
    out.print(rows)


def _lines(about: dict[str, Any]) -> list[tuple[str, str]]:
    unit, size = about["unit"], about["pixel_size"]
    axes = about["axes"] or "?" * len(about["shape"])
    lines = [
        ("File", about["file"]),
        ("Axes", ", ".join(f"{a} {n}" for a, n in zip(axes, about["shape"], strict=True))),
        ("Values", about["dtype"]),
        ("Pixel size", "not known" if size is None else f"{size[0]:.4g} x {size[1]:.4g} {unit}"),
    ]
    if about["z_step"] is not None:
        lines.append(("Plane distance", f"{about['z_step']:.4g} {unit}"))
    if about["frame_time_s"] is not None:
        lines.append(("Frame time", f"{about['frame_time_s']:.4g} s"))
    if about["channels"]:
        names = ", ".join(about["channel_names"]) or "without names"
        lines.append(("Channels", f"{about['channels']}: {names}"))
    if len(about["images_in_file"]) > 1:
        lines.append(("Images in the file", "\n".join(about["images_in_file"])))
        lines.append(("Image read", str(about["image_read"])))
    rows, cols = about["sam_sees"]["shape"]
    share = about["sam_sees"]["share_of_the_plane"]
    part = "" if share == 1 else f", {share:.0%} of them segmented"
    lines.append(("SAM sees", f"{rows} x {cols} pixels{part}"))
    lines += [("Note", note) for note in about["notes"]]
    return lines
