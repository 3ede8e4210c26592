"""What the user tells a search besides goal and plan; free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.marks import NO_MARKS, Marks

if TYPE_CHECKING:
    from napari_samstar.core.image.source import Source

Plane = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Other:
    """Another image or plane, to search on as well or to check the choice on.

    Attributes
    ----------
    source : Source
    held_out : bool
    layer : str
        The name under which it can be found again.
    """

    source: Source
    held_out: bool = False
    layer: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return what a journal remembers, JSON-ready."""
        plane = list(self.source.mapping.plane or ())
        return {"layer": self.layer, "plane": plane, "held_out": self.held_out}


@dataclass(frozen=True, eq=False)
class SearchInputs:
    """What is known of the objects, and on what else the settings shall hold.

    Attributes
    ----------
    expectations : Expectations
        The same for all images.
    marks : Marks
        Of the image on show alone.
    others : tuple of Other
    minutes : float, optional
        The search ends after so long, and can be continued; None for no limit.
    """

    expectations: Expectations = field(default_factory=Expectations)
    marks: Marks = NO_MARKS
    others: tuple[Other, ...] = ()
    minutes: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what a journal remembers of it, JSON-ready: all but marks and the time limit."""
        return {
            "expectations": self.expectations.to_dict(),
            "others": [other.to_dict() for other in self.others],
        }


def planes_in(text: str, sizes: tuple[int, ...]) -> tuple[Plane, ...]:
    """Return the planes that `text` names, each once, ascending.

    '0, 4, 8' and '0-3, 10' and, with a step, '0:40:10' (the end is left out). Where a stack has
    more than one axis before rows and columns, ';' parts the planes: '0,3; 1,3'.

    Raises
    ------
    UserError
        Where it cannot be read, or names a plane that there is not.

    >>> planes_in("0-2, 9", (10,))
    ((0,), (1,), (2,), (9,))
    """
    if not text.strip():
        return ()
    found: set[Plane]
    try:
        if len(sizes) == 1:
            found = {(k,) for part in text.split(",") if part.strip() for k in _indices(part)}
        else:
            groups = [group for group in text.split(";") if group.strip()]
            found = {tuple(int(k) for k in group.split(",")) for group in groups}
    except ValueError:
        example = "0, 4, 8 or 0-3 or 0:40:10" if len(sizes) == 1 else "0,3; 1,3"
        raise UserError(f"'{text}' does not name planes: write them like {example}.") from None
    for plane in sorted(found):
        fits = len(plane) == len(sizes)
        if not fits or any(not 0 <= k < n for k, n in zip(plane, sizes, strict=True)):
            there = " x ".join(map(str, sizes))
            raise UserError(
                f"There is no plane {','.join(map(str, plane))}: the stack has {there} planes, "
                "and the first is 0."
            )
    return tuple(sorted(found))


def _indices(part: str) -> range:
    if ":" in part:
        start, end, step = [int(k) for k in (*part.split(":"), "1")[:3]]
        if step < 1 or part.count(":") > 2:
            raise ValueError
        return range(start, end, step)
    first, _, last = part.strip().partition("-")
    return range(int(first), int(last or first) + 1)
