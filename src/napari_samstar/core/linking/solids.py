"""Measures objects in depth while their planes come one after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.linking.overlap import Bool, Floats, Ids, PlaneObjects
from napari_samstar.core.linking.surface import CASES, NOTHING, Section, case_areas, count_cases

if TYPE_CHECKING:
    from napari_samstar.core.linking.settings import LinkedPlane

VoxelSize = tuple[float, float, float]
"""(plane, row, col)"""


@dataclass(eq=False)
class _Solid:
    """An object so far. Sums are over its voxels, in voxels, as whole numbers and thus exact."""

    first: int
    last: int
    n_planes: int = 0
    volume: int = 0
    sums: Ids = field(default_factory=lambda: np.zeros(3, np.int64))
    products: Ids = field(default_factory=lambda: np.zeros((3, 3), np.int64))
    touches: bool = False
    cases: Ids = field(default_factory=lambda: np.zeros(CASES, np.int64))
    section: Section = NOTHING  # in the newest plane

    def add(self, index: int, section: Section) -> None:
        """Add the cross-section in plane `index`."""
        mask, (row, col, *_) = section
        in_row, in_col = mask.sum(axis=1, dtype=np.int64), mask.sum(axis=0, dtype=np.int64)
        rows, cols = np.arange(row, row + len(in_row)), np.arange(col, col + len(in_col))
        n, r, c = int(in_row.sum()), int(in_row @ rows), int(in_col @ cols)
        rc = int(rows @ (mask @ cols))
        self.last = index
        self.n_planes += 1
        self.volume += n
        self.sums += (n * index, r, c)
        self.products += (
            (n * index**2, r * index, c * index),
            (r * index, int(in_row @ rows**2), rc),
            (c * index, rc, int(in_col @ cols**2)),
        )
        self.grow(section)

    def grow(self, section: Section) -> None:
        """Add the surface between the newest plane and the next one."""
        self.cases += count_cases(self.section, section)
        self.section = section


class SolidMeasurer:
    """Measures the objects of a stack in depth.

    Of an object that goes on, only sums and the newest cross-section are kept.

    Parameters
    ----------
    voxel_size : (float, float, float), optional
        Size of a voxel along (plane, row, col), in `unit`. Without it lengths are in voxels.
    unit : str
        Part of the names of columns; "px" without a `voxel_size`.

    Raises
    ------
    UserError
        Where a size is not a positive number.
    """

    def __init__(self, voxel_size: VoxelSize | None = None, unit: str = "px") -> None:
        self.voxel_size = voxel_size or (1.0, 1.0, 1.0)
        self.unit = unit if voxel_size else "px"
        if not all(np.isfinite(size) and size > 0 for size in self.voxel_size):
            raise UserError(f"A voxel cannot be {voxel_size} {unit}: give three sizes above 0.")
        self._open: dict[int, _Solid] = {}
        self._rows: dict[int, dict[str, Any]] = {}
        self._newest = 0

    def add(self, plane: LinkedPlane) -> None:
        """Add the next plane; objects that ended are measured and forgotten."""
        self._newest = plane.index
        found = dict(_sections(plane))
        for label, solid in self._open.items():
            if label not in found:
                solid.grow(NOTHING)
        for label, (section, touches) in found.items():
            solid = self._open.setdefault(label, _Solid(plane.index, plane.index))
            solid.add(plane.index, section)
            solid.touches |= touches or plane.index == 0
        for label in plane.ended:
            self._rows[label] = self._measured(self._open.pop(label))

    def close(self) -> dict[str, NDArray[Any]]:
        """Return the table of all objects; call it after the last plane.

        Returns
        -------
        dict of str to ndarray
            One array per column, sorted by label: label, first and last plane, number of planes
            that have the object, centroid (plane, row and col, in voxels), volume, diameter of a
            sphere of this volume, surface, the three axes of the ellipsoid with the same second
            moments, and 1 where the object touches the border of the stack. Lengths are in the
            unit that is part of the column's name. The surface is that of marching cubes, which
            follows the steps of voxels: on a sphere it is about 9 % too large.
        """
        for label, solid in self._open.items():
            solid.grow(NOTHING)
            solid.touches |= solid.last == self._newest
            self._rows[label] = self._measured(solid)
        self._open.clear()
        names = list(self._measured(_UNIT_SOLID))
        table = {"label": np.array(sorted(self._rows), dtype=np.int64)}
        for name in names:
            table[name] = np.array([self._rows[i][name] for i in sorted(self._rows)])
        return table

    def _measured(self, solid: _Solid) -> dict[str, Any]:
        """Return one row of the table."""
        spacing, unit = np.array(self.voxel_size), self.unit
        volume = solid.volume * float(np.prod(spacing))
        plane, row, col = (solid.sums / solid.volume).tolist()
        major, middle, minor = _axes(solid, spacing).tolist()
        return {
            "first_plane": solid.first,
            "last_plane": solid.last,
            "n_planes": solid.n_planes,
            "plane": plane,
            "row_px": row,
            "col_px": col,
            f"volume_{unit}3": volume,
            f"diameter_{unit}": (6 * volume / np.pi) ** (1 / 3),
            f"surface_{unit}2": float(solid.cases @ case_areas(self.voxel_size)),
            f"major_axis_{unit}": major,
            f"middle_axis_{unit}": middle,
            f"minor_axis_{unit}": minor,
            "touches_border": int(solid.touches),
        }


_UNIT_SOLID = _Solid(0, 0, volume=1)


def _axes(solid: _Solid, spacing: Floats) -> Floats:
    """Return the lengths of the axes of an ellipsoid with the same moments, longest first."""
    mean = solid.sums / solid.volume
    covariance = solid.products / solid.volume - np.outer(mean, mean)
    # A voxel is a box and has moments of its own, so that an object in one plane has a thickness.
    covariance = (covariance + np.eye(3) / 12) * np.outer(spacing, spacing)
    return np.asarray(2 * np.sqrt(5 * np.linalg.eigvalsh(covariance)[::-1].clip(min=0)))


def _sections(plane: LinkedPlane) -> Iterator[tuple[int, tuple[Section, bool]]]:
    """Yield each id, its cross-section, and whether that touches the border of the plane."""
    objects = PlaneObjects.of(plane.labels)
    height, width = plane.labels.shape
    for k, (rows, cols) in enumerate(objects.windows, 1):
        mask: Bool = objects.labels[rows, cols] == k
        label = int(plane.labels[rows, cols][mask][0])
        box = rows.start, cols.start, rows.stop, cols.stop
        touches = box[0] == 0 or box[1] == 0 or box[2] == height or box[3] == width
        yield label, ((mask, box), touches)
