"""What belongs to a viewer, whichever panels are open: session, jobs, preview."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import pandas as pd
from napari.qt.threading import create_worker

from napari_samstar.session import Session
from napari_samstar.widgets._jobs import Job, Jobs
from napari_samstar.widgets._layers import LayerWriter
from napari_samstar.widgets._torch import make_torch_safe

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    import napari
    from napari.layers import Labels

    from napari_samstar.core.config import AmgConfig
    from napari_samstar.core.goal import Goal
    from napari_samstar.core.images import Micrograph
    from napari_samstar.core.search import Plan
    from napari_samstar.core.source import ModelChoice, Source
    from napari_samstar.core.workflow import Segmented
    from napari_samstar.widgets._layers import Placement


class Desk:
    """One viewer's session and jobs. Panels come and go; the desk stays with the viewer."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self.session = Session()
        self.jobs = Jobs()
        self.layers = LayerWriter(viewer)
        self._cache: Any = None
        self.session.events.selection.connect(self._on_session_selection)

    def segment(
        self, source: Source, choice: ModelChoice, config: AmgConfig, placement: Placement
    ) -> None:
        """Start segmenting a plane that lies at `placement`."""

        def finish(segmented: Segmented) -> None:
            self.layers.placement = placement
            self.session.set_segmented(segmented)

        work = (self, source, choice, config)
        self.jobs.start(Job("Segment", _segment, work, on_result=finish))

    def apply(self) -> None:
        """Turn the masks on show into a Labels layer that carries its recipe."""
        from napari_samstar.core.labels import paint

        segmented, selection = self.session.segmented, self.session.selection
        recipe = self.session.recipe()
        if segmented is None or selection is None or recipe is None:
            return
        labels = paint(segmented.bank.masks, selection.ids)
        layer = self.layers.apply(labels, recipe.to_dict())
        if layer is not None:
            # Not one of `jobs`: measuring must not stop a running search.
            worker = create_worker(_measure, labels, segmented.image, _start_thread=False)
            worker.returned.connect(partial(_set_features, weakref.ref(layer)))
            worker.start()

    def tune(self, goal: Goal, plan: Plan) -> None:
        """Start searching on the segmented plane."""
        segmented = self.session.segmented
        if segmented is None:
            return
        self.session.start_tuning(goal, plan)
        judge = self.session.judge or segmented.bank
        self.jobs.start(Job("Tune", _tune, (judge, goal, plan), on_step=self._on_tune_step))

    def _on_tune_step(self, step: Any) -> None:
        if isinstance(step, tuple):
            self.session.add_evaluations(step)
        else:
            self.session.judge = step

    def _on_session_selection(self) -> None:
        segmented, selection = self.session.segmented, self.session.selection
        if segmented is None or selection is None:
            return
        from napari_samstar.core.labels import paint

        ready = selection is segmented.selection
        labels = segmented.labels if ready else paint(segmented.bank.masks, selection.ids)
        self.layers.preview(labels)

    def cache(self) -> Any:
        """Return the embedding cache that all jobs of this viewer share."""
        if self._cache is None:
            from napari_samstar.core.encoder import default_cache

            self._cache = default_cache()
        return self._cache


def _measure(labels: Any, image: Micrograph) -> pd.DataFrame:
    from napari_samstar.core.labels import measurements

    # napari looks a label's row up in the column "index".
    return pd.DataFrame(measurements(labels, image)).rename(columns={"label": "index"})


def _set_features(layer: weakref.ref[Labels], table: pd.DataFrame) -> None:
    known = layer()
    if known is not None:
        known.features = table


# torch takes seconds to import, so the workers do it, not the GUI thread.


def _segment(desk: Desk, source: Source, choice: ModelChoice, config: AmgConfig) -> Any:
    from napari_samstar.core.progress import Progress

    yield Progress(0, 0, "Starting up")
    make_torch_safe()
    from napari_samstar.core.workflow import segment

    result = yield from segment(source, choice, config, desk.cache(), desk.session.segmented)
    return result


def _tune(judge: Any, goal: Goal, plan: Plan) -> Generator[Any, None, None]:
    from napari_samstar.core.workflow import tune

    yield from tune(judge, goal, plan)


_desks: WeakKeyDictionary[napari.Viewer, Desk] = WeakKeyDictionary()


def desk_of(viewer: napari.Viewer) -> Desk:
    """Return the viewer's desk.

    napari hands plugins a proxy of the viewer, a new one each time: the desk is kept by what the
    proxy wraps.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)
    if viewer not in _desks:
        _desks[viewer] = Desk(viewer)
    return _desks[viewer]
