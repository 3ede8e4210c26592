"""The clicks on an object that is not accepted yet, kept in the user's cache."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.cache_folder import cache_folder, keep_newest
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_samstar.core.interactive.click_session import ClickSession
    from napari_samstar.core.interactive.state import ClickState

FOLDER, SUFFIX = "clicks", ".json"
MOST_FILES, MOST_BYTES = 50, 10 * 2**20

Pointed = tuple[tuple[tuple[float, float, bool], ...], tuple[float, float, float, float] | None]
"""Clicks (row, col, inside) in px of the image, and a box (row, col, row, col) or None."""


@dataclass(frozen=True)
class Unfinished:
    """An object in hand.

    Attributes
    ----------
    prompts : tuple of Pointed
        What was pointed at after each click, oldest first.
    label : int
        Of the object that is refined; 0 for a new one.
    layer : str
        The Labels layer that holds it; empty for a new object.
    when : str
        Time, ISO 8601 with the offset from UTC.
    """

    prompts: tuple[Pointed, ...]
    label: int = 0
    layer: str = ""
    when: str = ""

    @classmethod
    def of(cls, states: Sequence[ClickState], label: int = 0, layer: str = "") -> Unfinished:
        """Return what was pointed at in the states of a `ClickSession`."""
        prompts = []
        for prompt in (state.prompt for state in states):
            box = None if prompt.box is None else _corners(prompt.box)
            prompts.append((tuple((c.row, c.col, c.positive) for c in prompt.clicks), box))
        return cls(tuple(prompts), label, layer)

    @property
    def clicks(self) -> int:
        """The number of clicks."""
        return len(self.prompts[-1][0]) if self.prompts else 0

    def replay(self, session: ClickSession) -> None:
        """Ask everything again, in order; each state can be undone as before."""
        from napari_samstar.core.interactive.clicks import BoxPrompt, Click, ClickPrompt

        for clicks, box in self.prompts:
            made = tuple(Click(*click) for click in clicks)
            session.take(
                session.answer(ClickPrompt(made, None if box is None else BoxPrompt(*box)))
            )


def keep(image: str, unfinished: Unfinished) -> None:
    """Write the clicks on `image` (`Micrograph.key`), replacing those before.

    Raises
    ------
    UserError
        Where they cannot be written.
    """
    path = _path(image)
    values = vars(unfinished) | {"when": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomic(path) as part:
            part.write_text(json.dumps(values), encoding="utf-8")
    except (OSError, UserError) as error:
        raise UserError(f"Your clicks are not being saved in the background: {error}") from error
    keep_newest(path.parent, f"*{SUFFIX}", files=MOST_FILES, n_bytes=MOST_BYTES)


def find(image: str) -> Unfinished | None:
    """Return the clicks that were left on `image`; None where there are none, or damaged ones."""
    try:
        values = json.loads(_path(image).read_text(encoding="utf-8"))
        prompts = tuple(_pointed(*p) for p in values["prompts"])
        return Unfinished(prompts, int(values["label"]), str(values["layer"]), str(values["when"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(image: str) -> None:
    """Remove the clicks on `image`: the object was accepted or put away."""
    with contextlib.suppress(OSError):
        _path(image).unlink(missing_ok=True)


def _corners(box: Any) -> tuple[float, float, float, float]:
    return box.row0, box.col0, box.row1, box.col1


def _path(image: str) -> Path:
    return cache_folder(FOLDER) / f"{image[:32]}{SUFFIX}"


def _pointed(clicks: Any, box: Any) -> Pointed:
    made = tuple((float(row), float(col), bool(inside)) for row, col, inside in clicks)
    if box is None:
        return made, None
    top, left, bottom, right = (float(x) for x in box)
    return made, (top, left, bottom, right)
