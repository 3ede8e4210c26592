"""The one table of prompt sources: ours, and those of other packages."""

from __future__ import annotations

import logging
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from napari_samstar.core.errors import UserError
from napari_samstar.core.prompts.boxes import BoxSource
from napari_samstar.core.prompts.centres import CentreSource
from napari_samstar.core.prompts.grid import GridSource

if TYPE_CHECKING:
    from napari_samstar.core.prompts.base import PromptSource

log = logging.getLogger("napari_samstar")

GROUP = "napari_samstar.prompt_sources"

_OURS: tuple[PromptSource, ...] = (GridSource(), CentreSource(), BoxSource())


@cache
def prompt_sources() -> dict[str, PromptSource]:
    """Return every prompt source by name.

    One of another package that does not load is left out, with a warning in the log.
    """
    found = {source.name: source for source in _OURS}
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
