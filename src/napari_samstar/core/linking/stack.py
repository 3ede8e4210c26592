"""Links a whole stack and measures its objects, plane by plane."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.linking.linker import Linker
from napari_samstar.core.progress import Progress

if TYPE_CHECKING:
    from napari_samstar.core.linking.settings import LinkedPlane, LinkEvent, LinkSettings


class Measurer(Protocol):
    """Measures objects while their planes come, in depth or in time."""

    def add(self, plane: LinkedPlane) -> None:
        """Add the next plane."""

    def close(self) -> dict[str, NDArray[Any]]:
        """Return the table of all objects, after the last plane."""


@dataclass(frozen=True, eq=False)
class LinkedStack:
    """The tables of a linked stack; its labels were handed on plane by plane.

    Attributes
    ----------
    n_planes : int
    objects : dict of str to ndarray
        One row for each object, see the measurer.
    events : dict of str to ndarray
        One row for each event, see `events_table`.
    """

    n_planes: int
    objects: dict[str, NDArray[Any]]
    events: dict[str, NDArray[Any]]


def link_stack(
    planes: Iterable[NDArray[np.integer]],
    settings: LinkSettings,
    measurer: Measurer,
    write: Callable[[LinkedPlane], None],
    total: int,
) -> Generator[Progress, None, LinkedStack]:
    """Link the planes of a stack and measure its objects.

    Parameters
    ----------
    planes : iterable of ndarray of int, shape (H, W)
        One label image after another; each is read once and then forgotten.
    measurer : Measurer
    write : callable
        Called with each linked plane, in order, to keep its labels.
    total : int
        Number of planes, for the progress.

    Yields
    ------
    Progress
        After each plane.

    Raises
    ------
    UserError
        Where a plane cannot be linked, see `Linker.add`.
    """
    linker = Linker(settings)
    events: list[LinkEvent] = []
    n_planes = 0
    for labels in planes:
        plane = linker.add(labels)
        measurer.add(plane)
        write(plane)
        events += plane.events
        n_planes += 1
        yield Progress(n_planes, total, f"linking plane {n_planes} of {total}")
    return LinkedStack(n_planes, measurer.close(), events_table(events))


def events_table(events: Iterable[LinkEvent]) -> dict[str, NDArray[Any]]:
    """Return events as columns: event, plane (from 0), parents and children.

    Parents and children are text, ids with a space between them: "12 17".
    """
    rows = list(events)
    return {
        "event": np.array([e.kind for e in rows], dtype=np.str_),
        "plane": np.array([e.plane for e in rows], dtype=np.int64),
        "parents": np.array([_text(e.parents) for e in rows], dtype=np.str_),
        "children": np.array([_text(e.children) for e in rows], dtype=np.str_),
    }


def _text(ids: tuple[int, ...]) -> str:
    return " ".join(str(i) for i in ids)
