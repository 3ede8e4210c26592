"""Clicks on an object that is not accepted yet, saved in the user's cache folder."""

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
    from napari_samstar.core.interactive.clicks import BoxPrompt, ClickPrompt
    from napari_samstar.core.interactive.placed_mask import Extent
    from napari_samstar.core.interactive.state import ClickState
    from napari_samstar.core.interactive.window import ClickWindow

FOLDER, SUFFIX = "clicks", ".json"
MAX_FILES, MAX_BYTES = 50, 10 * 2**20

Corners = tuple[float, float, float, float]
PromptRecord = tuple[tuple[tuple[float, float, bool], ...], Corners | None]
"""Clicks (row, col, positive), and a box (row0, col0, row1, col1) or None; px of the image."""


@dataclass(frozen=True)
class UnfinishedObject:
    """The clicks on an object that is neither accepted nor skipped.

    Attributes
    ----------
    prompts : tuple of PromptRecord
        The prompt of each state of the click session, oldest first.
    label : int
        Of the object that is refined; 0 for a new one.
    layer : str
        The Labels layer that holds it; empty for a new object.
    when : str
        Time of saving, ISO 8601 with the offset from UTC.
    window : Extent, optional
        What the model saw of the image; None where that was not saved.
    """

    prompts: tuple[PromptRecord, ...]
    label: int = 0
    layer: str = ""
    when: str = ""
    window: Extent | None = None

    @classmethod
    def from_states(
        cls,
        states: Sequence[ClickState],
        window: ClickWindow,
        label: int = 0,
        layer: str = "",
    ) -> UnfinishedObject:
        """Return the prompts of a click session's states, which are in px of its window."""
        prompts = []
        for prompt in (window.to_image(state.prompt) for state in states):
            clicks = tuple((c.row, c.col, c.positive) for c in prompt.clicks)
            prompts.append((clicks, None if prompt.box is None else _corners(prompt.box)))
        return cls(tuple(prompts), label, layer, window=window.extent)

    @property
    def n_clicks(self) -> int:
        """The number of clicks."""
        return len(self.prompts[-1][0]) if self.prompts else 0

    def click_prompts(self) -> tuple[ClickPrompt, ...]:
        """Return the prompts in px of the image, oldest first."""
        from napari_samstar.core.interactive.clicks import BoxPrompt, Click, ClickPrompt

        return tuple(
            ClickPrompt(
                tuple(Click(*click) for click in clicks),
                None if corners is None else BoxPrompt(*corners),
            )
            for clicks, corners in self.prompts
        )

    def replay(self, session: ClickSession) -> None:
        """Compute all states again, in order; each can be undone as before.

        Raises
        ------
        UserError
            Where a click lies outside of the session's window.
        """
        for prompt in self.click_prompts():
            session.push(session.compute(session.window.to_window(prompt)))


def save(image_key: str, unfinished: UnfinishedObject) -> None:
    """Write the clicks on an image (`Micrograph.key`), replacing earlier ones.

    Raises
    ------
    UserError
        Where they cannot be written.
    """
    path = _path(image_key)
    values = vars(unfinished) | {"when": datetime.now(UTC).isoformat(timespec="seconds")}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write_atomic(path) as part:
            part.write_text(json.dumps(values), encoding="utf-8")
    except (OSError, UserError) as error:
        raise UserError(f"Your clicks are not being saved in the background: {error}") from error
    keep_newest(path.parent, f"*{SUFFIX}", files=MAX_FILES, n_bytes=MAX_BYTES)


def load(image_key: str) -> UnfinishedObject | None:
    """Return the saved clicks on an image; None where the file is missing or damaged."""
    try:
        values = json.loads(_path(image_key).read_text(encoding="utf-8"))
        prompts = tuple(_parse_prompt(*p) for p in values["prompts"])
        window = _parse_window(values.get("window"))
        return UnfinishedObject(
            prompts, int(values["label"]), str(values["layer"]), str(values["when"]), window
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def delete(image_key: str) -> None:
    """Delete the saved clicks on an image."""
    with contextlib.suppress(OSError):
        _path(image_key).unlink(missing_ok=True)


def _path(image_key: str) -> Path:
    return cache_folder(FOLDER) / f"{image_key[:32]}{SUFFIX}"


def _corners(box: BoxPrompt) -> Corners:
    return box.row0, box.col0, box.row1, box.col1


def _parse_window(extent: Any) -> Extent | None:
    if extent is None:
        return None
    row0, col0, row1, col1 = (int(x) for x in extent)
    return row0, col0, row1, col1


def _parse_prompt(clicks: Any, box: Any) -> PromptRecord:
    parsed = tuple((float(row), float(col), bool(positive)) for row, col, positive in clicks)
    if box is None:
        return parsed, None
    row0, col0, row1, col1 = (float(x) for x in box)
    return parsed, (row0, col0, row1, col1)
