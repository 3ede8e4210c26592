"""What the workers of a desk run off the GUI thread, and where it goes on the GUI thread."""

from __future__ import annotations

import weakref
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from napari_samstar.widgets.shell.torch_import import start_torch

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels

    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.image.source import ModelChoice, Source
    from napari_samstar.core.results.stack import PlaneLabels
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig
    from napari_samstar.core.tuning.inputs import SearchInputs
    from napari_samstar.core.tuning.joint import EvaluatorSet
    from napari_samstar.core.tuning.workflow import Segmented
    from napari_samstar.widgets.viewer.controller import ViewerController
    from napari_samstar.widgets.viewer.layer_writer import LayerWriter


class StackFiller:
    """Writes planes into a stack layer as they come; the first one adds the layer."""

    def __init__(self, writer: LayerWriter, layer: Labels) -> None:
        self._writer = writer
        self._layer = layer
        self._highest = 0
        self._added = False

    def write_plane(self, found: PlaneLabels) -> None:
        """Write one plane; ids run on through the stack, because nothing links the planes."""
        shown = found.labels > 0
        at = self._layer.data[found.plane]
        at[shown] = found.labels[shown] + self._highest
        self._highest += int(found.labels.max(initial=0))
        if not self._added:  # once: the user may have removed it since
            self._added = True
            self._writer.add(self._layer, f"Apply to all planes of {self._layer.name}")
        self._layer.events.data(value=self._layer.data)
        self._layer.refresh()


def measure(planes: Any, image: Micrograph | None, size: Any, unit: str) -> pd.DataFrame:
    """Measure a layer's planes, as napari wants a layer's features."""
    import pandas as pd

    from napari_samstar.core.masks.labels import measure_planes

    # napari looks a label's row up in the column "index".
    table = measure_planes(planes, image, size, unit)
    return pd.DataFrame(table).rename(columns={"label": "index"})


def set_features(layer: weakref.ref[Labels], table: pd.DataFrame) -> None:
    """Give a layer its table, if it is still there."""
    known = layer()
    if known is not None:
        known.features = table


# torch takes seconds to import, so the workers do it, not the GUI thread.


def segment(
    controller: ViewerController, source: Source, choice: ModelChoice, config: AmgConfig
) -> Any:
    """Segment, and look whether the image was tuned before; returns both."""
    from napari_samstar.core.progress import Progress

    ready = start_torch()
    while not ready.is_set():
        yield Progress(0, 0, "Starting PyTorch")
        ready.wait(0.1)
    from napari_samstar.core.tuning import workflow

    found = yield from workflow.segment(
        source, choice, config, controller.cache(), controller.session.segmented
    )
    from napari_samstar.core.tuning import storage

    return found, storage.latest(found.image.key, found.model.identity)


def planes(
    controller: ViewerController,
    source: Source,
    which: Sequence[tuple[int, ...]],
    model: Any,
    config: AmgConfig,
) -> Generator[Any, None, None]:
    """Segment `which` planes of a stack."""
    from napari_samstar.core.results.stack import segment_planes

    yield from segment_planes(source, which, model, config, controller.cache())


def tune(
    segmented: Segmented,
    evaluators: EvaluatorSet | None,
    goal: Goal,
    study_config: StudyConfig,
    inputs: SearchInputs,
    cache: Any,
    resume: bool,
) -> Generator[Any, None, None]:
    """Search, writing a journal."""
    from napari_samstar.core.tuning import joint

    yield from joint.tune(
        segmented.bank, goal, study_config, inputs, cache, evaluators, resume=resume
    )
