"""Families of models, one for each kind of network. Imports neither torch nor the network.

A family knows its named models, recognises its files, and loads them as a `Backend`. Another
package adds one through the entry point group `napari_samstar.model_families`, which names an
object like `ModelFamily`.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_samstar.core.models.registry import REGISTRY, ModelInfo
from napari_samstar.core.models.transformers_family import TransformersFamily

if TYPE_CHECKING:
    import torch

    from napari_samstar.core.models.backend import Backend

log = logging.getLogger("napari_samstar")

GROUP = "napari_samstar.model_families"


class ModelFamily(Protocol):
    """Models that are loaded alike.

    Attributes
    ----------
    name : str
        As in `ModelInfo.family`.
    models : sequence of ModelInfo
        Those that have a name; they join the registry.
    """

    name: str
    models: tuple[ModelInfo, ...]

    def recognises(self, path: Path) -> bool:
        """Return whether a file or folder holds weights of this family; only its head is read."""

    def load(self, path: Path, device: torch.device) -> tuple[Backend, str]:
        """Return the model of a file or folder on a device, and the name of its architecture.

        Raises
        ------
        UserError
            Where the file is damaged or incomplete, or does not fit in the device's memory.
        """


@cache
def other_families() -> tuple[ModelFamily, ...]:
    """Return all families but SAM's; the named models of other packages join `REGISTRY`.

    One that does not load is left out, with a warning in the log.
    """
    found: list[ModelFamily] = [TransformersFamily()]
    for entry in metadata.entry_points(group=GROUP):
        try:
            family: ModelFamily = entry.load()
            for info in family.models:
                REGISTRY.setdefault(info.name, info)
            found.append(family)
        except Exception as error:  # somebody else's code must not stop the program
            log.warning("the models of %s do not load", entry.value, exc_info=error)
    return tuple(found)
