"""Segment Anything for microscopy, tuned by rewards that say what a good segmentation is.

    import napari_samstar as ss

The names below are imported when they are first used, so that this import stays light: it loads
neither torch nor Qt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_samstar.version import __version__

if TYPE_CHECKING:
    from napari_samstar.api.facade import (
        apply,
        iter_apply,
        iter_tune,
        load_model,
        read,
        segment,
        tune,
    )
    from napari_samstar.api.pipeline import iter_segment
    from napari_samstar.api.study import Choice, Study
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.errors import UserError
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.region import Region, rectangle
    from napari_samstar.core.progress import Progress, run
    from napari_samstar.core.results.recipe import Recipe
    from napari_samstar.core.results.result import Result
    from napari_samstar.core.rewards.expectations import Expectations
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.rewards.marks import Marks
    from napari_samstar.core.tuning.inputs import SearchInputs

_HOME = {
    "AmgConfig": "core.amg.config",
    "Choice": "api.study",
    "Expectations": "core.rewards.expectations",
    "Goal": "core.rewards.goal",
    "ImageMapping": "core.image.mapping",
    "LoadedImage": "core.image.loaded",
    "Marks": "core.rewards.marks",
    "Progress": "core.progress",
    "Recipe": "core.results.recipe",
    "Region": "core.image.region",
    "Result": "core.results.result",
    "SearchInputs": "core.tuning.inputs",
    "Study": "api.study",
    "UserError": "core.errors",
    "apply": "api.facade",
    "iter_apply": "api.facade",
    "iter_segment": "api.pipeline",
    "iter_tune": "api.facade",
    "load_model": "api.facade",
    "read": "api.facade",
    "rectangle": "core.image.region",
    "run": "core.progress",
    "segment": "api.facade",
    "tune": "api.facade",
}

__all__ = [
    "AmgConfig",
    "Choice",
    "Expectations",
    "Goal",
    "ImageMapping",
    "LoadedImage",
    "Marks",
    "Progress",
    "Recipe",
    "Region",
    "Result",
    "SearchInputs",
    "Study",
    "UserError",
    "__version__",
    "apply",
    "iter_apply",
    "iter_segment",
    "iter_tune",
    "load_model",
    "read",
    "rectangle",
    "run",
    "segment",
    "tune",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
