"""Planes of a stack as a person types them; the one grammar of panels and command line."""

from __future__ import annotations

import itertools

from napari_samstar.core.errors import UserError

PlaneIndex = tuple[int, ...]
"""One index for each axis before rows and columns."""


def parse_planes(text: str, sizes: tuple[int, ...]) -> tuple[PlaneIndex, ...]:
    """Return the planes that `text` names, each once, ascending.

    Indices and ranges are separated by commas: '0, 4, 8', '0-3, 10', or with a step '0:40:10',
    whose end is left out. In a stack with several axes before rows and columns, commas separate the
    axes and ';' separates groups of planes: '0,3; 1,3' are two planes, '0,0-2' three.

    Parameters
    ----------
    sizes : tuple of int
        Sizes of the axes before rows and columns.

    Raises
    ------
    UserError
        Where the text cannot be read, or names a plane that does not exist.

    Examples
    --------
    >>> parse_planes("0-2, 9", (10,))
    ((0,), (1,), (2,), (9,))
    >>> parse_planes("0,3; 1,0:4:2", (2, 4))
    ((0, 3), (1, 0), (1, 2))
    """
    if not text.strip():
        return ()
    try:
        found = set(_planes(text, len(sizes)))
    except ValueError:
        example = "0,3; 1,3" if len(sizes) > 1 else "0, 4, 8 or 0-3 or 0:40:10"
        raise UserError(f"'{text}' does not name planes: write them like {example}.") from None
    for plane in sorted(found):
        fits = len(plane) == len(sizes)
        if not fits or any(not 0 <= k < n for k, n in zip(plane, sizes, strict=True)):
            there = " x ".join(map(str, sizes)) or "no other"
            raise UserError(
                f"There is no plane {','.join(map(str, plane))}: the stack has {there} planes, "
                "and the first is 0."
            )
    return tuple(sorted(found))


def is_plane_text(text: str) -> bool:
    """Return whether a text can name planes at all, whatever the stack's axes."""
    try:
        return bool(_planes(text, 1))
    except ValueError:
        return False


def _planes(text: str, n_axes: int) -> list[PlaneIndex]:
    found: list[PlaneIndex] = []
    for group in (g for g in text.split(";") if g.strip()):
        parts = [_indices(part) for part in group.split(",") if part.strip()]
        if n_axes > 1:
            found += itertools.product(*parts)
        else:
            found += [(k,) for part in parts for k in part]
    return found


def _indices(part: str) -> range:
    """Return the indices of '3', '0-3' (end included) or '0:40:10' (end left out)."""
    if ":" in part:
        numbers = [int(k) for k in part.split(":")]
        start, end, step = (*numbers, 1)[:3]
        if len(numbers) > 3 or step < 1 or not range(start, end, step):
            raise ValueError
        return range(start, end, step)
    first, _, last = part.strip().partition("-")
    indices = range(int(first), int(last or first) + 1)
    if not indices:
        raise ValueError
    return indices
