"""The one table of prompt sources: ours, and those of other packages."""

from __future__ import annotations

import logging
from functools import cache
from importlib import metadata
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.prompts.base import PromptSource

log = logging.getLogger("napari_samstar")

GROUP = "napari_samstar.prompt_sources"

_HERE = "napari_samstar.core.prompts"
_OURS = (
    f"{_HERE}.grid:GridSource",
    f"{_HERE}.centres:CentreSource",
    f"{_HERE}.boxes:BoxSource",
    f"{_HERE}.classical:ClassicalSource",
    f"{_HERE}.classical:CombinedSource",
)
"""Named as entry points name those of other packages, so that this table needs none of them."""


@cache
def prompt_sources() -> dict[str, PromptSource]:
    """Return every prompt source by name.

    One of another package that does not load is left out, with a warning in the log.
    """
    ours: list[PromptSource] = [resolve_name(place)() for place in _OURS]
    found = {source.name: source for source in ours}
    for entry in metadata.entry_points(group=GROUP):
        try:
            source: PromptSource = entry.load()
            found.setdefault(source.name, source)
        except Exception as error:  # somebody else's code must not stop the program
            log.warning("the prompt source %s does not load", entry.value, exc_info=error)
    return found


def prompt_source(name: str) -> PromptSource:
    """Return a prompt source by name; UserError where there is none."""
    known = prompt_sources()
    if name not in known:
        raise UserError(f"There is no prompt source {name!r}: choose one of {', '.join(known)}.")
    return known[name]
