"""What workers run off the GUI thread for a viewer; they import torch, the GUI thread does not."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from napari_samstar.widgets.shell.torch_import import start_torch

if TYPE_CHECKING:
    import pandas as pd

    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.micrograph import Micrograph
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


def segment(
    image: LoadedImage,
    choice: ModelChoice,
    config: AmgConfig,
    cache_of: CacheOf,
    previous: Result | None,
) -> Work:
    """Segment a plane; returns the result, and the last search that is stored of this image."""
    from napari_samstar.core.progress import Progress

    ready = start_torch()
    while not ready.is_set():
        yield Progress(0, 0, "Starting PyTorch")
        ready.wait(0.1)
    from napari_samstar.api.pipeline import iter_segment
    from napari_samstar.core.tuning import storage

    found = yield from iter_segment(image, choice, config, cache_of(), previous)
    return found, storage.latest(found.image.key, found.model.identity)


def apply_to_planes(
    image: LoadedImage,
    planes: Sequence[tuple[int, ...]],
    model: LoadedModel,
    config: AmgConfig,
    cache_of: CacheOf,
) -> Work:
    """Segment planes of a stack with one configuration; yields each as it is done."""
    from napari_samstar.api.pipeline import iter_apply

    yield from iter_apply(config, [image.at(plane) for plane in planes], model, cache_of())


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


def measure(planes: Any, image: Micrograph | None, size: Any, unit: str) -> pd.DataFrame:
    """Measure a layer's planes (n, H, W), as napari wants a layer's features."""
    import pandas as pd

    from napari_samstar.core.masks.labels import measure_planes

    # napari finds a label's row by the column "index"
    table = measure_planes(planes, image, size, unit)
    return pd.DataFrame(table).rename(columns={"label": "index"})
