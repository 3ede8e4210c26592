"""What workers run off the GUI thread for a viewer; they import torch, the GUI thread does not."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_samstar.widgets.shell.torch_import import start_torch

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_samstar.core.amg.bank import Part, ProposalBank
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.edits import Edits
    from napari_samstar.core.amg.selection import Selection
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.linking.settings import LinkEvent
    from napari_samstar.core.masks.painting import Painting
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.registry import ModelChoice
    from napari_samstar.core.results.result import Result
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig
    from napari_samstar.core.tuning.evaluator import EvaluatorSet
    from napari_samstar.core.tuning.inputs import SearchInputs

Work = Generator[Any, None, Any]
CacheOf = Callable[[], Any]
"""Returns the embedding cache that all jobs of a viewer share; it imports torch."""


@dataclass(frozen=True, eq=False)
class TileShown:
    """What a tile shows before all tiles are put together.

    Attributes
    ----------
    bank : ProposalBank
        With the candidates of the tiles so far.
    config : AmgConfig
    box : (x0, y0, x1, y1)
        The tile's core, px of the image.
    labels : ndarray of int32, shape (y1 - y0, x1 - x0)
        0 is background.
    """

    bank: ProposalBank
    config: AmgConfig
    box: tuple[int, int, int, int]
    labels: NDArray[np.int32]


def segment(
    image: LoadedImage,
    choice: ModelChoice,
    config: AmgConfig,
    cache_of: CacheOf,
    previous: Result | None,
    first: tuple[int, int, int, int] | None,
) -> Work:
    """Segment a plane; returns the result, and the last search that is stored of this image.

    Each tile of an image that is cut into tiles is told by a `TileShown`, those in the window
    `first` (x0, y0, x1, y1) before the others.
    """
    from napari_samstar.core.progress import Progress

    ready = start_torch()
    while not ready.is_set():
        yield Progress(0, 0, "Starting PyTorch")
        ready.wait(0.1)
    from napari_samstar.api.pipeline import iter_segment
    from napari_samstar.core.amg.bank import PartDone
    from napari_samstar.core.tuning import storage

    steps = iter_segment(image, choice, config, cache_of(), previous, first)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            found = end.value
            break
        yield step
        if isinstance(step, PartDone) and step.part.core is not None:
            labels = _labels_of_tile(step.bank, step.part, step.config)
            yield TileShown(step.bank, step.config, step.part.core, labels)
    _ = found.labels  # painted here, because it takes too long on the GUI thread
    return found, storage.latest(found.image.key, found.model.identity)


def partial_result(bank: ProposalBank, config: AmgConfig, choice: ModelChoice) -> Result:
    """Put the tiles together that are done so far."""
    from napari_samstar.core.amg.select import select
    from napari_samstar.core.results.result import Result

    found = Result(bank, select(bank, config, partial=True), choice=choice)
    _ = found.labels, found.image.key  # here, because both take too long on the GUI thread
    return found


def select_and_paint(
    bank: ProposalBank, config: AmgConfig, edits: Edits
) -> tuple[Selection, Painting, NDArray[np.int32]]:
    """Return the masks that a configuration keeps, and the objects with the user's edits."""
    from napari_samstar.core.amg.select import select
    from napari_samstar.core.results.result import painting_of

    selection = select(bank, config, partial=True)
    painting = painting_of(bank, selection, edits)
    return selection, painting, painting.whole()


def _labels_of_tile(bank: ProposalBank, part: Part, config: AmgConfig) -> NDArray[np.int32]:
    """Return the labels in the core of one tile; they begin anew in each tile."""
    from napari_samstar.core.amg.select import kept_of_part
    from napari_samstar.core.masks.painting import Painting

    assert part.core is not None
    x0, y0, x1, y1 = part.core
    ids = kept_of_part(bank, part, config).ids.numpy()
    ids = ids[np.argsort(-bank.masks.areas(ids.tolist()), kind="stable")].tolist()
    # Another number in each tile, so that neighbours do not look alike.
    first = (y0 // 97 * 31 + x0 // 97 * 7) % 1000
    values = np.concatenate([[0], first + np.arange(1, len(ids) + 1)]).astype(np.int32)
    return Painting(bank.masks, tuple(ids), values, bank.masks.boxes(ids)).window(y0, x0, y1, x1)


@dataclass(frozen=True, eq=False)
class StackPlane:
    """A plane of a stack that is done.

    Attributes
    ----------
    plane : tuple of int
        Its index along the axes before rows and columns.
    labels : ndarray of int32, shape (H, W)
        With ids of the whole stack, 0 is background.
    events : tuple of LinkEvent
        What happened to ids since the plane before.
    """

    plane: tuple[int, ...]
    labels: NDArray[np.int32]
    events: tuple[LinkEvent, ...] = ()


def apply_to_planes(
    image: LoadedImage,
    planes: Sequence[tuple[int, ...]],
    model: LoadedModel,
    config: AmgConfig,
    cache_of: CacheOf,
    link: Literal["depth", "time", "none"],
    highest: int = 0,
) -> Work:
    """Segment planes of a stack with one configuration; yields each as it is done.

    Parameters
    ----------
    link : {"depth", "time", "none"}
        How objects get one id through the last axis along which planes differ; else ids run on.
    highest : int
        The highest id that is in use already.
    """
    from napari_samstar.api.pipeline import Applied, iter_apply
    from napari_samstar.core.linking.linker import Linker
    from napari_samstar.core.linking.settings import LinkSettings

    varying = [k for k, along in enumerate(zip(*planes, strict=True)) if len(set(along)) > 1]
    linked_axis = varying[-1] if varying else 0
    linker, before, offset = None, None, 0
    for step in iter_apply(config, [image.at(plane) for plane in planes], model, cache_of()):
        if not isinstance(step, Applied):
            yield step
            continue
        plane = step.image.mapping.plane
        assert plane is not None
        labels = step.labels
        events: tuple[LinkEvent, ...] = ()
        if link != "none":
            others = plane[:linked_axis] + plane[linked_axis + 1 :]
            if linker is None or others != before:  # another series begins
                linker, before = Linker(LinkSettings(link)), others
                offset = highest
            linked = linker.add(labels)
            labels, events = linked.labels, linked.events
        else:
            offset = highest
        shown = np.where(labels > 0, labels + offset, 0).astype(np.int32)
        highest = max(highest, int(shown.max(initial=0)))
        yield StackPlane(plane, shown, events)


def decode(bank: ProposalBank, config: AmgConfig) -> Work:
    """Encode and decode what a configuration needs and a bank lacks."""
    yield from bank.prepare(config)
    return bank


def search(
    result: Result,
    goal: Goal,
    study_config: StudyConfig,
    inputs: SearchInputs,
    cache_of: CacheOf,
    previous: EvaluatorSet | None,
    resume: bool,
) -> Work:
    """Search the settings of a segmented image."""
    from napari_samstar.api.pipeline import iter_search

    yield from iter_search(
        result.bank, goal, study_config, inputs, cache_of(), previous, resume=resume
    )


def measure_stack(
    planes: NDArray[np.int32], mode: str, voxel: tuple[float, float, float] | None, unit: str
) -> pd.DataFrame:
    """Measure the objects of linked planes (n, H, W): one row for each, see `core.linking`.

    Parameters
    ----------
    mode : {"depth", "time"}
    voxel : (float, float, float), optional
        Size along (plane, row, col), in `unit`; in time the first one is not used.
    """
    import pandas as pd

    from napari_samstar.core.linking.settings import LinkedPlane
    from napari_samstar.core.linking.solids import SolidMeasurer
    from napari_samstar.core.linking.tracks import TrackMeasurer

    measurer: SolidMeasurer | TrackMeasurer
    if mode == "depth":
        measurer = SolidMeasurer(voxel, unit)
    else:
        measurer = TrackMeasurer(None if voxel is None else voxel[1:], unit)
    for k, plane in enumerate(planes):
        measurer.add(LinkedPlane(k, plane, (), ()))
    return pd.DataFrame(measurer.close()).rename(columns={"label": "index"})


def measure(planes: Any, image: Micrograph | None, size: Any, unit: str) -> pd.DataFrame:
    """Measure a layer's planes (n, H, W), as napari wants a layer's features."""
    import pandas as pd

    from napari_samstar.core.masks.labels import measure_planes

    # napari finds a label's row by the column "index"
    table = measure_planes(planes, image, size, unit)
    return pd.DataFrame(table).rename(columns={"label": "index"})
