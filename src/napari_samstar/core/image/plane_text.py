"""Planes of a stack as a person types them; the one grammar of panels and command line."""

from __future__ import annotations

import itertools
import re
from typing import Literal

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.axes import named_channel_axis

PlaneIndex = tuple[int, ...]
"""One index for each axis before rows and columns."""

_NAMED = re.compile(r"\s*([A-Za-z])\s*=\s*(.*?)\s*")


def parse_planes(
    text: str,
    sizes: tuple[int, ...],
    axes: str = "",
    others: Literal["middle", "all"] = "middle",
) -> tuple[PlaneIndex, ...]:
    """Return the planes that `text` names, each once, ascending.

    Indices and ranges are separated by commas: '0, 4, 8', '0-3, 10', or with a step '0:40:10',
    whose end is left out. In a stack with several axes before rows and columns, commas separate the
    axes and ';' separates groups of planes: '0,3; 1,3' are two planes, '0,0-2' three. Where the
    axes have names, they can be used in any order: 'z=3', 't=0, z=0-4'. Axes of length 1 and
    channels need not be given.

    Parameters
    ----------
    sizes : tuple of int
        Sizes of the axes before rows and columns.
    axes : str
        One letter per axis, or empty; see `LoadedImage.axes`.
    others : {"middle", "all"}
        What is meant along axes that are not named: the middle plane or all. Of channels always the
        first.

    Raises
    ------
    UserError
        Where the text cannot be read, or names a plane or an axis that does not exist.

    Examples
    --------
    >>> parse_planes("0-2, 9", (10,))
    ((0,), (1,), (2,), (9,))
    >>> parse_planes("0,3; 1,0:4:2", (2, 4))
    ((0, 3), (1, 0), (1, 2))
    >>> parse_planes("z=3", (2, 5), "CZYX")
    ((0, 3),)
    """
    if not text.strip():
        return ()
    try:
        found = {
            plane
            for group in text.split(";")
            if group.strip()
            for plane in _planes(group, sizes, axes, others)
        }
    except ValueError:
        example = "0,3; 1,3" if len(sizes) > 1 else "0, 4, 8 or 0-3 or 0:40:10"
        raise UserError(f"'{text}' does not name planes: write them like {example}.") from None
    for plane in sorted(found):
        if any(not 0 <= k < n for k, n in zip(plane, sizes, strict=True)):
            raise _no_plane(plane, sizes)
    return tuple(sorted(found))


def is_plane_text(text: str) -> bool:
    """Return whether a text can name planes at all, whatever the stack's axes."""
    try:
        groups = [group.split(",") for group in text.split(";") if group.strip()]
        parts = [part for group in groups for part in group if part.strip()]
        for part in parts:
            named = _NAMED.fullmatch(part)
            _indices(named[2] if named else part)
    except ValueError:
        return False
    return bool(parts)


def _planes(
    group: str, sizes: tuple[int, ...], axes: str, others: Literal["middle", "all"]
) -> list[PlaneIndex]:
    """Return the planes of one group; ValueError where it cannot be read."""
    parts = [part for part in group.split(",") if part.strip()]
    given: dict[int, list[int]] = {}
    if any("=" in part for part in parts):
        given = _named(parts, sizes, axes)
    else:
        values = [list(_indices(part)) for part in parts]
        places = _places(len(values), sizes, axes)
        if places is None and len(_free(sizes, axes)) == 1:  # a list of planes along one axis
            values, places = [[k for part in values for k in part]], _free(sizes, axes)
        if places is None:
            raise _no_plane([part[0] for part in values], sizes)
        given = dict(zip(places, values, strict=True))
    channels = named_channel_axis(axes, len(sizes))
    along = [
        given.get(k, [0] if k == channels else [n // 2] if others == "middle" else list(range(n)))
        for k, n in enumerate(sizes)
    ]
    return list(itertools.product(*along))


def _free(sizes: tuple[int, ...], axes: str) -> list[int]:
    """Return the axes along which planes differ: not the channels, nor those of length 1."""
    channels = named_channel_axis(axes, len(sizes))
    return [k for k, n in enumerate(sizes) if k != channels and n > 1]


def _places(n: int, sizes: tuple[int, ...], axes: str) -> list[int] | None:
    """Return which axes n unnamed parts are for; None where no reading fits."""
    if len(sizes) == 1:
        return None if n != 1 else [0]
    channels = named_channel_axis(axes, len(sizes))
    readings = (
        list(range(len(sizes))),
        [k for k in range(len(sizes)) if k != channels],
        _free(sizes, axes),
    )
    return next((places for places in readings if len(places) == n), None)


def _named(parts: list[str], sizes: tuple[int, ...], axes: str) -> dict[int, list[int]]:
    """Return the indices along axes given by their letters: 'z=3'."""
    letters = axes[: len(sizes)]
    given: dict[int, list[int]] = {}
    at = -1
    for part in parts:
        match = _NAMED.fullmatch(part)
        if match is None:
            if at < 0:
                raise ValueError
            given[at] += _indices(part)  # goes on with a list: 'z=0,4,8'
            continue
        letter = match[1].upper()
        if letter not in letters:
            there = ", ".join(letters) or "none that has a name"
            raise UserError(f"The image has no axis {letter}; before rows and columns are {there}.")
        at = letters.index(letter)
        given.setdefault(at, []).extend(_indices(match[2]))
    return given


def _no_plane(plane: PlaneIndex | list[int], sizes: tuple[int, ...]) -> UserError:
    there = " x ".join(map(str, sizes)) or "no other"
    return UserError(
        f"There is no plane {','.join(map(str, plane))}: the stack has {there} planes, "
        "and the first is 0."
    )


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
