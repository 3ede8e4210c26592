"""Tools that change whole objects: delete, merge, split, lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samstar.core.interactive.placed_mask import PlacedMask, union
from napari_samstar.core.masks.divide import merge, split_along, split_at
from napari_samstar.widgets.viewer.objects import find_object

if TYPE_CHECKING:
    from napari_samstar.widgets.viewer.objects import Objects

Pixel = tuple[int, int]

NOT_CUT = "This does not cut the object in two: draw a line right across it."


def delete_object(objects: Objects, label: int) -> bool:
    """Delete an object."""
    return objects.replace("Delete an object", [label], [])


def merge_objects(objects: Objects, one: int, other: int) -> str:
    """Make one object of two, and fill a narrow gap between them; returns what went wrong."""
    first, second = (find_object(objects.plane(), label) for label in (one, other))
    if first is None or second is None or one == other:
        return "Click on another object to merge with it."
    whole = union(first.extent, second.extent)
    both = merge(first.within(whole).mask, second.within(whole).mask)
    made = PlacedMask(both, *whole[:2])
    return "" if objects.replace("Merge two objects", [one, other], [made]) else "Nothing to merge."


def split_object(objects: Objects, label: int, start: Pixel, end: Pixel, *, line: bool) -> str:
    """Cut an object along a line, or between two points of it; returns what went wrong."""
    found = find_object(objects.plane(), label)
    if found is None:
        return "The object is not there any more."
    one, other = ((p[0] - found.row, p[1] - found.col) for p in (start, end))
    if line:
        parts = split_along(found.mask, one, other)
    else:
        inside = all(
            0 <= p[0] < found.mask.shape[0] and 0 <= p[1] < found.mask.shape[1]
            for p in (one, other)
        )
        parts = split_at(found.mask, one, other) if inside else []
    if len(parts) < 2:
        return NOT_CUT
    placed = [PlacedMask(part, found.row, found.col) for part in parts]
    return "" if objects.replace("Split an object", [label], placed) else NOT_CUT


def lock_object(objects: Objects, label: int) -> bool:
    """Keep an object as it is, whatever the settings: it becomes one of the user's own."""
    found = find_object(objects.plane(), label)
    return found is not None and objects.replace("Lock an object", [label], [found])
