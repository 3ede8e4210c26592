"""Correction of objects of one image by clicks, and adaptation of the decoder.

No viewer and no widget. The `compute_...`, `learn_...` and `find_all_again` methods are slow and
may run on any thread; of what is here they change only the adaptation. All others are quick and
run on one thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_samstar.core.masks.divide import without_specks
from napari_samstar.core.progress import run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_samstar.core.adaptation.online import Adaptation, UpdateResult
    from napari_samstar.core.adaptation.targets import Example
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.edits import Edits
    from napari_samstar.core.amg.selection import Selection
    from napari_samstar.core.interactive.click_session import ClickSession
    from napari_samstar.core.interactive.clicks import BoxPrompt, Click, ClickPrompt
    from napari_samstar.core.interactive.placed_mask import Extent, PlacedMask
    from napari_samstar.core.interactive.state import ClickState
    from napari_samstar.core.interactive.unfinished import UnfinishedObject
    from napari_samstar.core.interactive.window import ClickWindow
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.encoder import EmbeddingCache
    from napari_samstar.core.progress import Progress
    from napari_samstar.core.results.result import Result

    StartMask = Callable[[], PlacedMask | None]
    """Finds the mask of an object to refine, on the thread that refines it; None: it is gone."""


@dataclass(frozen=True, eq=False)
class ComputedState:
    """A state computed on a thread; it is valid as long as `revision` has not changed."""

    revision: int
    session: ClickSession
    state: ClickState


class CorrectionController:
    """The current object of one image, and an adaptation that persists from image to image.

    Attributes
    ----------
    changed : Signal
        After every change.
    learning : bool
        Whether the decoder is trained on clicks and accepted objects.
    uses_adaptation : bool
        Whether the adapted decoder is used; if not, the original one.
    label : int
        Of the object of a Labels layer that is refined, 0 for a new object.
    result : Result, optional
        Of the segmented image.
    adaptation : Adaptation, optional
        None before the first image.
    last_update : UpdateResult, optional
        Of the last accepted object.
    """

    changed = Signal()

    def __init__(self) -> None:
        self.learning = True
        self.uses_adaptation = True
        self.label = 0
        self.result: Result | None = None
        self.adaptation: Adaptation | None = None
        self.last_update: UpdateResult | None = None
        self._session: ClickSession | None = None
        self._revision = 0
        self._visited: list[int] = []
        self._at = -1  # position in `_visited` of the object that was returned last

    # --- current object -----------------------------------------------------------------------

    @property
    def state(self) -> ClickState | None:
        """State of the current object; None without one."""
        return None if self._session is None else self._session.state

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Its mask, (h, w), in the frame of `window`."""
        state = self.state
        return None if state is None or state.prediction is None else state.prediction.mask

    @property
    def window(self) -> ClickWindow | None:
        """What the model sees of the image: all of it, or a window around the object."""
        return None if self._session is None else self._session.window

    @property
    def placed(self) -> PlacedMask | None:
        """Its mask at its place in the image."""
        from napari_samstar.core.interactive.placed_mask import PlacedMask

        mask, window = self.mask, self.window
        if mask is None or window is None:
            return None
        return PlacedMask(mask, *window.extent[:2])

    @property
    def extent(self) -> Extent | None:
        """Tight extent of its mask, px of the image; None for an empty one."""
        state, window = self.state, self.window
        return None if window is None else _extent(state, window)

    @property
    def draws_parts(self) -> bool:
        """Whether only the part around the object is drawn, because the whole would take long."""
        if self.result is None:
            return False
        return self.result.image.is_large or (self.window is not None and not self.window.is_whole)

    @property
    def is_cut(self) -> bool:
        """Whether its mask reaches an edge of the window that is not the image's."""
        window, extent = self.window, self.extent
        if self.result is None or window is None or extent is None:
            return False
        return window.cuts(extent, self.result.model.backend.frame_side)

    @property
    def clicks(self) -> tuple[Click, ...]:
        """Its clicks so far, px of the image."""
        state, window = self.state, self.window
        return () if state is None or window is None else window.to_image(state.prompt).clicks

    @property
    def states(self) -> tuple[ClickState, ...]:
        """Its states after each click, oldest first."""
        return () if self._session is None else self._session.states

    @property
    def can_undo(self) -> bool:
        """Whether there is a click to undo."""
        return self._session is not None and self._session.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone click to redo."""
        return self._session is not None and self._session.can_redo

    @property
    def text(self) -> str:
        """State of the adaptation in one line."""
        if self.adaptation is None:
            return "Nothing learned yet: these are the original weights."
        if self.last_update is not None and not self.last_update.kept:
            return f"{self.adaptation.text} {self.last_update.text}"
        return self.adaptation.text

    # --- quick changes ------------------------------------------------------------------------

    def open(self, result: Result | None) -> None:
        """Switch to another image; the adaptation stays while the model's weights are the same."""
        self.discard()
        self._visited, self._at = [], -1
        self.result = result
        current = self.adaptation
        if result is not None and (
            current is None or current.original.sha256 != result.model.sha256
        ):
            self._start_adaptation(result.model)
        self.changed.emit()

    def start(self, session: ClickSession, label: int = 0) -> None:
        """Make an object from `compute_start` the current one."""
        self._revision += 1
        self._session, self.label = session, label
        self.changed.emit()

    def apply(self, computed: ComputedState) -> bool:
        """Take over the state after a click or box; False where it is outdated."""
        if computed.revision != self._revision:
            return False
        if self._session is not computed.session:
            self._session, self.label = computed.session, 0
        computed.session.push(computed.state)
        self.changed.emit()
        return True

    def apply_recomputed(self, computed: ComputedState) -> bool:
        """Take over a state from `compute_again`; False where it is outdated."""
        if computed.revision != self._revision or computed.session is not self._session:
            return False
        if computed.session.state.prompt != computed.state.prompt:
            return False
        computed.session.replace(computed.state)
        self.changed.emit()
        return True

    def use_click_model(self, session: ClickSession, model: LoadedModel) -> None:
        """Use a model from `learn_clicks` for the rest of the current object."""
        if session is self._session and self.uses_adaptation and self.adaptation is not None:
            session.model, session.competitor = model, self.adaptation.original

    def undo(self) -> None:
        """Undo a click; states still being computed become outdated."""
        self._revision += 1
        if self._session is not None:
            self._session.undo()
        self.changed.emit()

    def redo(self) -> None:
        """Redo an undone click."""
        self._revision += 1
        if self._session is not None:
            self._session.redo()
        self.changed.emit()

    def discard(self) -> None:
        """Discard the current object."""
        self._revision += 1
        self._session, self.label = None, 0
        self.changed.emit()

    def set_uses_adaptation(self, on: bool) -> None:
        """Use the adapted decoder, or the original one."""
        self.uses_adaptation = on
        self._update_session_models()
        self.changed.emit()

    def reset_adaptation(self) -> None:
        """Drop all adaptation; training that still runs has no effect."""
        if self.adaptation is not None:
            self._start_adaptation(self.adaptation.original)
        self._update_session_models()
        self.changed.emit()

    def restore_adaptation(self, adaptation: Adaptation) -> None:
        """Take over an adaptation loaded from a file."""
        self.adaptation, self.last_update = adaptation, None
        self.set_uses_adaptation(True)

    def record_update(self, adaptation: Adaptation, update: UpdateResult) -> None:
        """Take over the result of `learn_object`."""
        if adaptation is self.adaptation:
            self.last_update = update
            self.changed.emit()

    def next_uncertain(self, selection: Selection, edits: Edits, step: int = 1) -> int | None:
        """Return the mask of the least certain object on show that was not returned before.

        Least certain: the lowest product of predicted IoU and stability.

        Parameters
        ----------
        selection : Selection
            The objects on show.
        edits : Edits
            Objects that the user decided about are not uncertain.
        step : {1, -1}
            -1 goes back to the one before; None where there is none.
        """
        settled = {*edits.pinned, *edits.dropped}
        if step < 0:
            self._at = max(self._at - 1, 0)
            return self._visited[self._at] if self._visited else None
        if self._at + 1 < len(self._visited):  # after going back
            self._at += 1
            return self._visited[self._at]
        certainty = selection.predicted_iou * selection.stability
        for mask_id in selection.ids[np.argsort(certainty, kind="stable")].tolist():
            if mask_id not in self._visited and mask_id not in settled:
                self._visited.append(mask_id)
                self._at = len(self._visited) - 1
                return int(mask_id)
        return None

    @property
    def start_mask(self) -> PlacedMask | None:
        """The object that is refined, as it was; None for a new one."""
        from napari_samstar.core.interactive.placed_mask import PlacedMask

        session, window = self._session, self.window
        if session is None or window is None or session.start.prediction is None:
            return None
        return PlacedMask(session.start.prediction.mask, *window.extent[:2]).tight()

    @property
    def accepted(self) -> PlacedMask | None:
        """The current mask without specks, on its tight extent; None where hardly any is left.

        A piece smaller than a fiftieth of the largest one is a speck, unless a click that adds lies
        on it. Of a refined object less than a tenth is hardly any, where nothing was added.
        """
        placed = self.placed
        if placed is None or self.extent is None:
            return None
        added = [
            (round(c.row) - placed.row, round(c.col) - placed.col)
            for c in self.clicks
            if c.positive
        ]
        mask = without_specks(placed.mask, added)
        start = self.start_mask
        if start is not None and not added and mask.sum() < start.mask.sum() / 10:
            return None
        return type(placed)(mask, placed.row, placed.col).tight()

    def accepted_example(self) -> Example | None:
        """Return the current object for `learn_object`; None where nothing is to be learned.

        It has no states where nothing was clicked.
        """
        from napari_samstar.core.adaptation.targets import Example

        session, mask = self._session, self.mask
        if session is None or mask is None or self.extent is None or not self.learning:
            return None
        return Example(session.embedding, session.states, mask)

    # --- slow work, on any thread -------------------------------------------------------------

    def compute_start(self, cache: EmbeddingCache, start: StartMask) -> ClickSession | None:
        """Return a click session that refines an existing mask; None where it is gone."""
        found = start()
        mask = None if found is None else found.tight()
        if mask is None:
            return None
        return self._new_session(cache, self._window(mask.extent), mask)

    def compute_replay(
        self, cache: EmbeddingCache, saved: UnfinishedObject, start: StartMask | None
    ) -> ClickSession | None:
        """Return a click session with saved clicks, on the mask `start` or on a new object.

        None where that mask is gone.
        """
        found = None if start is None else start()
        mask = None if found is None else found.tight()
        if start is not None and mask is None:
            return None
        window = self._saved_window(saved, mask)
        session = self._current_session(cache, window) if mask is None else None
        session = session or self._new_session(cache, window, mask)
        saved.replay(session)
        _measure(session.states)
        return session

    def compute_click(self, cache: EmbeddingCache, click: Click) -> ComputedState:
        """Return the state after a click, px of the image, on the current or a new object.

        Raises
        ------
        UserError
            Where the click is outside of the window of the current object.
        """
        from napari_samstar.core.interactive.clicks import ClickPrompt

        return self._computed(cache, ClickPrompt((click,)))

    def compute_box(self, cache: EmbeddingCache, box: BoxPrompt) -> ComputedState:
        """Return the state after a box, px of the image, around the current or a new object.

        Raises
        ------
        UserError
            Where the box is not within the window of the current object.
        """
        from napari_samstar.core.interactive.clicks import ClickPrompt

        return self._computed(cache, ClickPrompt((), box))

    def compute_again(self) -> ComputedState | None:
        """Return the current state computed again, after the model was replaced."""
        revision, session = self._revision, self._session
        if session is None or not session.can_undo:
            return None
        state = session.recompute()
        _measure((state,))
        return ComputedState(revision, session, state)

    def learn_clicks(self) -> tuple[ClickSession, LoadedModel] | None:
        """Train on the clicks so far; None where there is nothing to train on."""
        session, adaptation = self._session, self.adaptation
        if session is None or adaptation is None or not (self.learning and self.uses_adaptation):
            return None
        if len(session.states) < 2 or not adaptation.settings.click_steps:
            return None
        return session, run(adaptation.learn_clicks(session.embedding, session.states))

    def learn_object(self, example: Example) -> tuple[Adaptation, UpdateResult]:
        """Train on an accepted object."""
        adaptation = self.adaptation
        assert adaptation is not None
        if not example.states:
            example = type(example).from_mask(example.embedding, example.mask)
        return adaptation, run(adaptation.learn_object(example))

    def find_all_again(
        self, cache: EmbeddingCache, config: AmgConfig
    ) -> Generator[Progress, None, Result]:
        """Segment the image again with the model in use and the settings on show."""
        from napari_samstar.core.amg.bank import ProposalBank
        from napari_samstar.core.results.result import segment_bank

        before = self.result
        assert before is not None
        bank = ProposalBank(before.image, self._whole_image_model(before), cache)
        found = yield from segment_bank(bank, config, choice=before.choice)
        _ = found.labels  # painted here, because it takes too long on the GUI thread
        return found

    # --- private ------------------------------------------------------------------------------

    def _start_adaptation(self, model: LoadedModel) -> None:
        from napari_samstar.core.adaptation.online import Adaptation

        self.adaptation, self.last_update = Adaptation(model), None

    def _computed(self, cache: EmbeddingCache, added: ClickPrompt) -> ComputedState:
        """Return the state after a click or a box more, px of the image."""
        from dataclasses import replace

        from napari_samstar.core.interactive.window import prompt_extent

        revision, session = self._revision, self._session
        if session is None:
            session = self._current_session(cache, self._window(prompt_extent(added)))
        added, before = session.window.to_window(added), session.state.prompt
        if added.box is not None:
            prompt = replace(before, box=added.box)
        else:
            prompt = before.add(added.clicks[0])
        state = session.compute(prompt)
        _measure((state,))
        return ComputedState(revision, session, state)

    def _current_session(self, cache: EmbeddingCache, window: ClickWindow) -> ClickSession:
        """Return the current session, or one for a new object in a window."""
        if self._session is not None:
            return self._session
        if self.adaptation is not None:
            self.adaptation.start_object()
        return self._new_session(cache, window)

    def _new_session(
        self, cache: EmbeddingCache, window: ClickWindow, start: PlacedMask | None = None
    ) -> ClickSession:
        from napari_samstar.core.interactive.click_session import ClickSession

        assert self.result is not None
        embedding = cache.encode(self.result.model, self.result.image.crop(window.box))
        mask = None if start is None else start.within(window.extent).mask
        model, competitor = self._click_models()
        session = ClickSession(model, embedding, mask, competitor=competitor, window=window)
        _measure((session.state,))
        return session

    def _saved_window(self, saved: UnfinishedObject, start: PlacedMask | None) -> ClickWindow:
        """Return what the model saw of an object that was saved, or a new choice of it."""
        from napari_samstar.core.interactive.placed_mask import union
        from napari_samstar.core.interactive.window import ClickWindow, prompt_extent

        assert self.result is not None
        rows, cols = self.result.image.shape
        if saved.window is not None:
            # The mask may have grown since
            extent = saved.window if start is None else union(saved.window, start.extent)
            row0, col0, row1, col1 = extent
            if 0 <= row0 < row1 <= rows and 0 <= col0 < col1 <= cols:
                return ClickWindow(extent, (rows, cols))
        return self._window(
            prompt_extent(saved.click_prompts()[0]) if start is None else start.extent
        )

    def _window(self, extent: Extent) -> ClickWindow:
        """Return what the model is to see for an object of which `extent` is known."""
        from napari_samstar.core.image.tiles import tile_side
        from napari_samstar.core.interactive.window import ClickWindow

        assert self.result is not None
        result, shape = self.result, self.result.image.shape
        if not result.config.tile_scale:
            return ClickWindow.whole(shape)
        side = tile_side(result.model.backend.frame_side, result.config.tile_scale)
        return ClickWindow.around(extent, side, shape)

    def _update_session_models(self) -> None:
        if self._session is not None:
            self._session.model, self._session.competitor = self._click_models()

    def _click_models(self) -> tuple[LoadedModel, LoadedModel | None]:
        """Return the model for first clicks, and its competitor for corrections."""
        adaptation = self.adaptation
        if adaptation is None:
            assert self.result is not None
            return self.result.model, None
        if not self.uses_adaptation:
            return adaptation.original, None
        return adaptation.first_click_model, adaptation.competitor

    def _whole_image_model(self, result: Result) -> LoadedModel:
        if self.adaptation is None:
            return result.model
        return self.adaptation.model if self.uses_adaptation else self.adaptation.original


def _extent(state: ClickState | None, window: ClickWindow) -> Extent | None:
    """Return the tight extent of a state's mask, px of the image; None without a mask."""
    if state is None or state.prediction is None or state.prediction.extent is None:
        return None
    (row, col), (row0, col0, row1, col1) = window.extent[:2], state.prediction.extent
    return row + row0, col + col0, row + row1, col + col1


def _measure(states: tuple[ClickState, ...]) -> None:
    """Find the extents of masks now, on this thread, and not when they are drawn."""
    for state in states:
        if state.prediction is not None:
            _ = state.prediction.extent
