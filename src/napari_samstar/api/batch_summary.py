"""Two tables over all images of a run: one row for each object, and one for each image."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_samstar.core.results.outputs import ALL_IMAGES, ALL_OBJECTS, MEASUREMENTS
from napari_samstar.core.results.tables import header, read_rows, write_rows

_UNIT = "diameter_"


@dataclass(frozen=True)
class ImageEntry:
    """One image of a run.

    Attributes
    ----------
    image : str
        Its file, as the user named it.
    folder : Path
        Of its result, which need not exist.
    state : str
        "done", "skipped" or "failed".
    notes : tuple of str
        What was decided about it, or why it failed.
    """

    image: str
    folder: Path
    state: str
    notes: tuple[str, ...] = ()


def write_summary(entries: Sequence[ImageEntry], out: Path) -> list[str]:
    """Write both tables into a folder and return their names.

    The measurements are read from the folders of the images, so those of an earlier run count too.
    Sizes in different units have columns of their own.
    """
    there = [e for e in entries if e.state != "failed" and (e.folder / MEASUREMENTS).is_file()]
    names = ["image", *dict.fromkeys(n for e in there for n in header(e.folder / MEASUREMENTS))]
    write_rows(_objects(there), names, out / ALL_OBJECTS)
    rows = [_about(entry, out, known=entry in there) for entry in entries]
    write_rows(rows, list(rows[0]), out / ALL_IMAGES)
    return [ALL_OBJECTS, ALL_IMAGES]


def _objects(entries: Sequence[ImageEntry]) -> Iterator[dict[str, str]]:
    for entry in entries:
        for row in read_rows(entry.folder / MEASUREMENTS):
            yield {"image": entry.image, **row}


def _about(entry: ImageEntry, out: Path, *, known: bool) -> dict[str, Any]:
    """Return the row of one image; of one that failed only its state and the reason."""
    about: dict[str, Any] = {
        "image": entry.image,
        "state": entry.state,
        "objects": "",
        "median_diameter": "",
        "unit": "",
        "folder": os.path.relpath(entry.folder, out),
        "notes": " ".join(entry.notes),
    }
    if not known:
        return about
    columns = header(entry.folder / MEASUREMENTS)
    diameter = next((name for name in columns if name.startswith(_UNIT)), None)
    rows = list(read_rows(entry.folder / MEASUREMENTS))
    # In a stack whose planes are linked, an object may have several rows.
    about["objects"] = len(rows)
    if diameter is not None:
        about["unit"] = diameter.removeprefix(_UNIT)
        values = [float(row[diameter]) for row in rows if row[diameter]]
        about["median_diameter"] = statistics.median(values) if values else ""
    return about
