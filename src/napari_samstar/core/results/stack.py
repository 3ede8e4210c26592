"""One configuration on every plane of a stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import psutil

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.select import select
from napari_samstar.core.errors import UserError
from napari_samstar.core.masks.labels import Labels, paint
from napari_samstar.core.progress import Progress

if TYPE_CHECKING:
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.image.source import Source
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.encoder import EmbeddingCache

Plane = tuple[int, ...]

_STEPS = 100  # of the progress bar for each plane


@dataclass(frozen=True, eq=False)
class PlaneLabels:
    """The objects of one plane.

    Attributes
    ----------
    plane : tuple of int
        Index along each axis before (row, col).
    labels : ndarray of int32, shape (H, W)
        Numbered from 1 in each plane; nothing links objects of different planes.
    problem : str
        Why nothing was found, empty where the plane could be segmented.
    """

    plane: Plane
    labels: Labels
    problem: str = ""


def segment_planes(
    source: Source,
    planes: Iterable[Plane],
    model: LoadedModel,
    config: AmgConfig,
    cache: EmbeddingCache,
) -> Iterator[Progress | PlaneLabels]:
    """Segment planes one after another; yields each as soon as it is done.

    A plane that cannot be segmented, such as a constant one, is empty and says why.

    Parameters
    ----------
    source : Source
        Its mapping's plane is replaced.
    """
    todo = list(planes)
    total = _STEPS * len(todo)
    for k, plane in enumerate(todo):
        text = f"Plane {k + 1} of {len(todo)}"
        yield Progress(_STEPS * k, total, text)
        try:
            image = replace(source, mapping=source.mapping.replace(plane=plane)).read()
        except UserError as error:
            yield PlaneLabels(plane, np.zeros(_shape(source), dtype=np.int32), str(error))
            continue
        bank = ProposalBank(image, model, cache)
        for step in bank.prepare(config):
            share = step.done / step.total if step.total else 0.0
            yield Progress(_STEPS * k + round(_STEPS * share), total, text)
        yield PlaneLabels(plane, paint(bank.masks, select(bank, config).ids))


def check_memory(n_planes: int, shape: tuple[int, int]) -> None:
    """Raise UserError where the labels of all planes would not fit in memory."""
    need = 4 * n_planes * shape[0] * shape[1]
    free = psutil.virtual_memory().available
    if need > 0.8 * free:
        raise UserError(
            f"The labels of all {n_planes} planes would need {need / 2**30:.1f} GB and "
            f"{free / 2**30:.1f} GB are free: crop the stack, or apply the recipe to its files "
            "with `samstar apply`."
        )


def _shape(source: Source) -> tuple[int, int]:
    array = source.array[0] if isinstance(source.array, list) else source.array
    rows, cols = array.shape[-3:-1] if source.rgb else array.shape[-2:]
    return int(rows), int(cols)
