"""The user's choices on disk: one JSON object per line, in the user's cache folder.

Lines are appended. What cannot be read is skipped: a torn line, one of another version of this
file or of other formulas of the rewards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.cache_folder import cache_folder
from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.registry import FORMULAS
from napari_samstar.core.tuning.preference import Choice

VERSION = 1
MOST_CHOICES = 200
"""Older ones are removed."""
MOST_LINES = 2 * MOST_CHOICES
"""With more, the file is written anew with the latest choices only."""


@dataclass(frozen=True)
class Choices:
    """What is stored.

    Attributes
    ----------
    made : tuple of Choice
        The latest, oldest first, one for each search.
    on : bool
        Whether further choices are noted; the user can switch that off.
    """

    made: tuple[Choice, ...] = ()
    on: bool = True


def path() -> Path:
    """Return where choices are stored (`SAMSTAR_CACHE` moves it)."""
    return cache_folder("choices") / "choices.jsonl"


def read() -> Choices:
    """Return the stored choices; none where the file is missing or cannot be read."""
    return _parse(_lines())


def add(choice: Choice) -> Choices:
    """Store a choice unless that is switched off, and return what is stored then.

    Raises
    ------
    UserError
        Where it cannot be written.
    """
    lines = list(_lines())
    stored = _parse(lines)
    if not stored.on:
        return stored
    line = _versioned({"formulas": FORMULAS, **choice.to_dict()})
    if len(lines) < MOST_LINES:
        _append(line)
    else:
        _write_anew(_parse([*lines, line]))
    return _parse([*lines, line])


def switch(on: bool) -> Choices:
    """Switch on or off that choices are noted; those that are stored stay. Raises as `add`."""
    _append(_versioned({"on": on}))
    return read()


def forget() -> Choices:
    """Delete all choices; whether further ones are noted stays as it is.

    Raises
    ------
    UserError
        Where they cannot be deleted.
    """
    on = read().on
    try:
        path().unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"Your choices could not be deleted ({error.strerror or error}): delete {path()}."
        ) from error
    return Choices() if on else switch(on)


def _versioned(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": VERSION, **values}


def _lines() -> Iterator[dict[str, Any]]:
    """Yield the lines that hold a JSON object of this version."""
    try:
        text = path().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict) and values.get("version") == VERSION:
            yield values


def _parse(lines: Any) -> Choices:
    """Return what lines say, the later ones over the earlier ones."""
    made: dict[str, Choice] = {}
    on = True
    for values in lines:
        if "on" in values:
            on = bool(values["on"])
        elif values.get("formulas") == FORMULAS:
            try:
                choice = Choice.from_dict(values)
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
            made.pop(choice.search, None)  # a later choice is the latest of all
            made[choice.search] = choice
    return Choices(tuple(made.values())[-MOST_CHOICES:], on)


def _append(line: dict[str, Any]) -> None:
    """Add a line in one write; it begins with a line end, lest a torn line before spoil it."""
    text = "\n" + json.dumps(line, ensure_ascii=False) + "\n"
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        with path().open("ab", buffering=0) as file:
            left = memoryview(text.encode())
            while len(left):
                left = left[file.write(left) :]
    except OSError as error:
        raise UserError(
            f"Your choices cannot be noted ({error.strerror or error}: {path()}): free some space "
            "or allow writing there."
        ) from error


def _write_anew(stored: Choices) -> None:
    """Replace the file by one with these choices only."""
    lines = [_versioned({"on": stored.on})]
    lines += [_versioned({"formulas": FORMULAS, **c.to_dict()}) for c in stored.made]
    with write_atomic(path()) as part:
        part.write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines), "utf-8")
