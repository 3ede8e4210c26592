"""What linking is told, and what it returns for each plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.linking.overlap import Labels

Mode = Literal["depth", "time"]
EventKind = Literal["part", "split", "merge", "gap"]


@dataclass(frozen=True)
class LinkSettings:
    """How objects of neighbouring planes are linked.

    Attributes
    ----------
    mode : {"depth", "time"}
        What follows from plane to plane.
    min_iou : float
        Objects of two planes are the same one above this IoU.
    gap : int
        Greatest number of planes in a row in which an object may be missing.
    contained : float
        In depth, a cross-section is part of an object when at least this share of its area lies
        inside that object's cross-section in the plane before. An object that ends has merged with
        another one when at least this share of its area lies inside it.
    clearance : int
        In depth, parts of one object are more than this far apart, px. Objects that touch, or
        that only a thin boundary separates, are neighbours.
    daughter : float
        In time, at least this share of a daughter cell's area lies inside the parent as it was.
    balance : float
        In time, the smaller of two daughter cells has at least this share of the larger one's area.
        With less, the one that overlaps the parent most keeps the id, as a mother cell with a bud
        does.
    divisions : bool
        Whether objects can divide in time. If not, the piece that overlaps most keeps the id.
        Switch it off for particles, and where the segmentation often cuts objects by mistake.
    reach : float
        In time, objects that do not overlap with what they were are linked over this distance at
        most, in square roots of their area and beyond the motion of their neighbours. 0: never.
    follow_shift : bool
        Whether a shift of the whole plane is looked for.

    Raises
    ------
    UserError
        Where a value makes no sense.
    """

    mode: Mode = "depth"
    min_iou: float = 0.1
    gap: int = 1
    contained: float = 0.8
    clearance: int = 0
    daughter: float = 0.4
    balance: float = 0.6
    divisions: bool = True
    reach: float = 1.5
    follow_shift: bool = True

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise UserError(f'Objects are linked in "depth" or "time", not in "{self.mode}".')
        for name in ("min_iou", "contained", "daughter", "balance"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}: choose a share from 0 to 1.")
        for name in ("gap", "clearance", "reach"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} is {getattr(self, name)}: choose 0 or more.")


@dataclass(frozen=True)
class LinkEvent:
    """What happened to ids between two planes, other than that they go on, begin or end.

    Attributes
    ----------
    kind : {"part", "split", "merge", "gap"}
        part: in depth, a cross-section came apart, and all parts have the same id.
        split: in time, a cell divided. A mother that keeps its id is among the children.
        merge: objects ended inside another one. The first parent is the one that goes on.
        gap: an object was found again after planes in which it was missing.
    plane : int
        The later plane, from 0.
    parents, children : tuple of int
        Ids before and after.
    """

    kind: EventKind
    plane: int
    parents: tuple[int, ...]
    children: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LinkedPlane:
    """A plane whose objects have ids of the whole stack.

    Attributes
    ----------
    index : int
        Number of the plane, from 0.
    labels : ndarray of int32, shape (H, W)
        0 is background. Parts of one object have the same id.
    events : tuple of LinkEvent
    ended : tuple of int
        Ids that no later plane has, in increasing order; each is in `ended` of one plane at most.
    """

    index: int
    labels: Labels
    events: tuple[LinkEvent, ...]
    ended: tuple[int, ...]
