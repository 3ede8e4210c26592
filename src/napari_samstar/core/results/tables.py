"""CSV files that spreadsheets, pandas and R read alike."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core.atomic import write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

Table = Mapping[str, "NDArray[Any]"]
"""Equally long columns by name."""


def write_table(table: Table, path: Path) -> None:
    """Write a table; a value that is not finite stays empty."""
    columns = [column.tolist() for column in table.values()]
    rows = (dict(zip(table, row, strict=True)) for row in zip(*columns, strict=True))
    write_rows(rows, list(table), path)


def write_rows(rows: Iterable[Mapping[str, Any]], names: Sequence[str], path: Path) -> None:
    """Write rows as UTF-8 CSV, atomically; a value that a row lacks stays empty.

    A byte order mark comes first where the text is not ASCII, as the unit µm: without it, Excel
    reads another encoding. pandas and R skip it.
    """
    with write_atomic(path) as part:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, restval="", lineterminator="\n")
            writer.writeheader()
            for row in rows:
                writer.writerow({name: _text(value) for name, value in row.items()})
        _mark(part)


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file, with or without a byte order mark."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def header(path: Path) -> list[str]:
    """Return the names of the columns of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file), [])


def _text(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return value


def _mark(path: Path) -> None:
    """Put a byte order mark before a text that is not ASCII."""
    with path.open("rb") as file:
        if all(line.isascii() for line in file):
            return
    content = path.read_bytes()
    path.write_bytes(codecs.BOM_UTF8 + content)
