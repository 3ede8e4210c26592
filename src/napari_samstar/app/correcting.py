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

from napari_samstar.core.progress import run

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_samstar.core.adaptation.online import Adaptation, UpdateResult
    from napari_samstar.core.adaptation.targets import Example
    from napari_samstar.core.interactive.click_session import ClickSession
    from napari_samstar.core.interactive.clicks import BoxPrompt, Click
    from napari_samstar.core.interactive.state import ClickState
    from napari_samstar.core.interactive.unfinished import UnfinishedObject
    from napari_samstar.core.models.backend import Embedding, LoadedModel
    from napari_samstar.core.models.encoder import EmbeddingCache
    from napari_samstar.core.progress import Progress
    from napari_samstar.core.results.result import Result


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
        self._visited: set[int] = set()

    # --- current object -----------------------------------------------------------------------

    @property
    def state(self) -> ClickState | None:
        """State of the current object; None without one."""
        return None if self._session is None else self._session.state

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """Its mask, (H, W)."""
        state = self.state
        return None if state is None or state.prediction is None else state.prediction.mask

    @property
    def clicks(self) -> tuple[Click, ...]:
        """Its clicks so far."""
        return () if self.state is None else self.state.prompt.clicks

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
        self._visited.clear()
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

    def next_uncertain(self) -> int | None:
        """Return the position in the selection of the least certain object not returned before.

        Least certain: the lowest product of predicted IoU and stability.
        """
        selection = None if self.result is None else self.result.selection
        if selection is None:
            return None
        certainty = selection.predicted_iou * selection.stability
        for k in np.argsort(certainty, kind="stable").tolist():
            if k not in self._visited:
                self._visited.add(k)
                return int(k)
        return None

    def accepted_example(self) -> Example | None:
        """Return the current object for `learn_object`; None where nothing is to be learned."""
        from napari_samstar.core.adaptation.targets import Example

        session, mask = self._session, self.mask
        if session is None or mask is None or not mask.any() or not self.learning:
            return None
        if not session.states:
            return Example.from_mask(session.embedding, mask)
        return Example(session.embedding, session.states, mask)

    # --- slow work, on any thread -------------------------------------------------------------

    def compute_start(self, cache: EmbeddingCache, start: NDArray[np.bool_]) -> ClickSession:
        """Return a click session that refines an existing mask, (H, W)."""
        return self._new_session(cache, start)

    def compute_replay(
        self, cache: EmbeddingCache, saved: UnfinishedObject, start: NDArray[np.bool_] | None
    ) -> ClickSession:
        """Return a click session with saved clicks, on the mask `start` or on a new object."""
        session = self._current_session(cache) if start is None else self._new_session(cache, start)
        saved.replay(session)
        return session

    def compute_click(self, cache: EmbeddingCache, click: Click) -> ComputedState:
        """Return the state after a click on the current object, or on a new one."""
        revision, session = self._revision, self._current_session(cache)
        state = session.compute(session.state.prompt.add(click))
        return ComputedState(revision, session, state)

    def compute_box(self, cache: EmbeddingCache, box: BoxPrompt) -> ComputedState:
        """Return the state after a box around the current object, or around a new one."""
        from dataclasses import replace

        revision, session = self._revision, self._current_session(cache)
        state = session.compute(replace(session.state.prompt, box=box))
        return ComputedState(revision, session, state)

    def compute_again(self) -> ComputedState | None:
        """Return the current state computed again, after the model was replaced."""
        revision, session = self._revision, self._session
        if session is None or not session.can_undo:
            return None
        return ComputedState(revision, session, session.recompute())

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
        return adaptation, run(adaptation.learn_object(example))

    def find_all_again(self, cache: EmbeddingCache) -> Generator[Progress, None, Result]:
        """Segment the image again with the model in use and the current settings."""
        from napari_samstar.core.amg.bank import ProposalBank
        from napari_samstar.core.results.result import segment_bank

        before = self.result
        assert before is not None
        bank = ProposalBank(before.image, self._whole_image_model(before), cache)
        return (yield from segment_bank(bank, before.config, choice=before.choice))

    # --- private ------------------------------------------------------------------------------

    def _start_adaptation(self, model: LoadedModel) -> None:
        from napari_samstar.core.adaptation.online import Adaptation

        self.adaptation, self.last_update = Adaptation(model), None

    def _current_session(self, cache: EmbeddingCache) -> ClickSession:
        """Return the current session, or one for a new object."""
        if self._session is not None:
            return self._session
        if self.adaptation is not None:
            self.adaptation.start_object()
        return self._new_session(cache)

    def _new_session(
        self, cache: EmbeddingCache, start: NDArray[np.bool_] | None = None
    ) -> ClickSession:
        from napari_samstar.core.interactive.click_session import ClickSession

        model, competitor = self._click_models()
        return ClickSession(model, self._embedding(cache), start, competitor=competitor)

    def _embedding(self, cache: EmbeddingCache) -> Embedding:
        assert self.result is not None
        return cache.encode(self.result.model, self.result.image.pixels)

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
