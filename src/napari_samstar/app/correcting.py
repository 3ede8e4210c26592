"""Correcting objects of one image by clicks: the object in hand, and what the decoder learns.

No viewer and no widget. Methods called `ask_...` and `learn_...` do the work and may run on any
thread; they change nothing here. The others take results over, on one thread, and are quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from napari_samstar.core.adaptation.online import Adaptation, UpdateResult
    from napari_samstar.core.interactive.click_session import ClickSession
    from napari_samstar.core.interactive.clicks import BoxPrompt, Click
    from napari_samstar.core.interactive.state import ClickState
    from napari_samstar.core.interactive.unfinished import Unfinished
    from napari_samstar.core.models.backend import Embedding, LoadedModel
    from napari_samstar.core.models.encoder import EmbeddingCache
    from napari_samstar.core.tuning.workflow import Segmented


@dataclass(frozen=True, eq=False)
class PendingAnswer:
    """An answer, and the state of affairs that it belongs to."""

    turn: int
    session: ClickSession
    state: ClickState


class Correcting:
    """One image's object in hand, and an adaptation that goes on from image to image.

    Attributes
    ----------
    changed : Signal
        After every change.
    learning : bool
        Whether clicks and accepted objects teach the decoder.
    adapted : bool
        Whether what was learned is used; False shows what the original would say.
    label : int
        Value of the object of a Labels layer that is refined, 0 for a new object.
    """

    changed = Signal()

    def __init__(self) -> None:
        self.learning = True
        self.adapted = True
        self.label = 0
        self.segmented: Segmented | None = None
        self.adaptation: Adaptation | None = None
        self.outcome: UpdateResult | None = None
        self._session: ClickSession | None = None
        self._turn = 0
        self._seen: set[int] = set()

    # --- what is in hand ----------------------------------------------------------------------

    @property
    def state(self) -> ClickState | None:
        """The present state of the object in hand; None without one."""
        return None if self._session is None else self._session.state

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """The mask in hand, (H, W)."""
        state = self.state
        return None if state is None or state.prediction is None else state.prediction.mask

    @property
    def clicks(self) -> tuple[Click, ...]:
        """The clicks made on it so far."""
        return () if self.state is None else self.state.prompt.clicks

    @property
    def states(self) -> tuple[ClickState, ...]:
        """Its states after each click, oldest first."""
        return () if self._session is None else self._session.states

    @property
    def can_undo(self) -> bool:
        """Whether a click can be undone."""
        return self._session is not None and self._session.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a click can be done again."""
        return self._session is not None and self._session.can_redo

    @property
    def text(self) -> str:
        """What was learned, in one line."""
        if self.adaptation is None:
            return "Nothing learned yet: these are the original weights."
        if self.outcome is not None and not self.outcome.kept:
            return f"{self.adaptation.text} {self.outcome.text}"
        return self.adaptation.text

    # --- quick changes ------------------------------------------------------------------------

    def open(self, segmented: Segmented | None) -> None:
        """Turn to another image; what was learned stays while the model's weights are the same."""
        from napari_samstar.core.adaptation.online import Adaptation

        self.drop()
        self._seen.clear()
        self.segmented = segmented
        known = self.adaptation
        if segmented is not None and (
            known is None or known.original.sha256 != segmented.model.sha256
        ):
            self.adaptation, self.outcome = Adaptation(segmented.model), None
        self.changed.emit()

    def pick_up(self, session: ClickSession, label: int = 0) -> None:
        """Take an object in hand that `ask_start` prepared."""
        self._turn += 1
        self._session, self.label = session, label
        self.changed.emit()

    def take(self, asked: PendingAnswer) -> bool:
        """Take over the answer to a click; False where something else happened meanwhile."""
        if asked.turn != self._turn:
            return False
        if self._session is not asked.session:
            self._session, self.label = asked.session, 0
        asked.session.take(asked.state)
        self.changed.emit()
        return True

    def take_again(self, asked: PendingAnswer) -> bool:
        """Take over a fresh answer to the present prompt."""
        if asked.turn != self._turn or asked.session is not self._session:
            return False
        if asked.session.state.prompt != asked.state.prompt:
            return False
        asked.session.put(asked.state)
        self.changed.emit()
        return True

    def use(self, session: ClickSession, model: LoadedModel) -> None:
        """Let a model that learned from its clicks answer for the object in hand from now on."""
        if session is self._session and self.adapted and self.adaptation is not None:
            session.model, session.beside = model, self.adaptation.original

    def undo(self) -> None:
        """Undo a click; an answer still on its way is dropped."""
        self._turn += 1
        if self._session is not None:
            self._session.undo()
        self.changed.emit()

    def redo(self) -> None:
        """Do an undone click again."""
        self._turn += 1
        if self._session is not None:
            self._session.redo()
        self.changed.emit()

    def drop(self) -> None:
        """Put the object in hand away."""
        self._turn += 1
        self._session, self.label = None, 0
        self.changed.emit()

    def set_adapted(self, on: bool) -> None:
        """Use what was learned, or the original decoder."""
        self.adapted = on
        self._ask_anew()
        self.changed.emit()

    def reset(self) -> None:
        """Forget what was learned; a lesson still going on is dropped."""
        from napari_samstar.core.adaptation.online import Adaptation

        if self.adaptation is not None:
            self.adaptation, self.outcome = Adaptation(self.adaptation.original), None
        self._ask_anew()
        self.changed.emit()

    def restore(self, adaptation: Adaptation) -> None:
        """Take over an adaptation that was loaded."""
        self.adaptation, self.outcome = adaptation, None
        self.set_adapted(True)

    def learned(self, adaptation: Adaptation, outcome: UpdateResult) -> None:
        """Note what became of an accepted object."""
        if adaptation is self.adaptation:
            self.outcome = outcome
            self.changed.emit()

    def next_suspicious(self) -> int | None:
        """Return the position in the selection of the least certain object not yet offered.

        Least certain: the lowest product of predicted IoU and stability.
        """
        selection = None if self.segmented is None else self.segmented.selection
        if selection is None:
            return None
        doubt = selection.predicted_iou * selection.stability
        for k in np.argsort(doubt, kind="stable").tolist():
            if k not in self._seen:
                self._seen.add(k)
                return int(k)
        return None

    # --- work for a thread --------------------------------------------------------------------

    def ask_start(self, cache: EmbeddingCache, start: NDArray[np.bool_]) -> ClickSession:
        """Prepare the refinement of an existing mask."""
        from napari_samstar.core.interactive.click_session import ClickSession

        model, beside = self._models()
        return ClickSession(model, self.embedding(cache), start, beside=beside)

    def ask_replay(
        self, cache: EmbeddingCache, left: Unfinished, start: NDArray[np.bool_] | None
    ) -> ClickSession:
        """Click again what an earlier session left, on the mask `start` or on a new object."""
        session = self._in_hand(cache) if start is None else self.ask_start(cache, start)
        left.replay(session)
        return session

    def ask_click(self, cache: EmbeddingCache, click: Click) -> PendingAnswer:
        """Answer a click on the object in hand, or on a new one."""
        turn, session = self._turn, self._in_hand(cache)
        return PendingAnswer(turn, session, session.answer(session.state.prompt.add(click)))

    def ask_box(self, cache: EmbeddingCache, box: BoxPrompt) -> PendingAnswer:
        """Answer a box around the object in hand, or around a new one."""
        from dataclasses import replace

        turn, session = self._turn, self._in_hand(cache)
        return PendingAnswer(turn, session, session.answer(replace(session.state.prompt, box=box)))

    def ask_again(self) -> PendingAnswer | None:
        """Answer the present prompt once more, after the model was replaced."""
        turn, session = self._turn, self._session
        if session is None or not session.can_undo:
            return None
        return PendingAnswer(turn, session, session.again())

    def learn_clicks(self) -> tuple[ClickSession, LoadedModel] | None:
        """Learn from the clicks so far; None where there is nothing to learn from."""
        session, adaptation = self._session, self.adaptation
        if session is None or adaptation is None or not (self.learning and self.adapted):
            return None
        if len(session.states) < 2 or not adaptation.settings.click_steps:
            return None
        return session, _finish(adaptation.learn_clicks(session.embedding, session.states))

    def training_target(self) -> Any:
        """Return what `learn_object` needs of the object in hand; None where nothing is learned."""
        from napari_samstar.core.adaptation.targets import Example

        session, mask = self._session, self.mask
        if session is None or mask is None or not mask.any() or not self.learning:
            return None
        states = session.states
        if not states:
            return Example.found(session.embedding, mask)
        return Example(session.embedding, states, mask)

    def learn_object(self, example: Any) -> Generator[Any, None, tuple[Adaptation, UpdateResult]]:
        """Learn from an accepted object."""
        adaptation = self.adaptation
        assert adaptation is not None
        outcome = yield from adaptation.accept(example)
        return adaptation, outcome

    def embedding(self, cache: EmbeddingCache) -> Embedding:
        """Return the image's embedding."""
        assert self.segmented is not None
        return cache.encode(self.segmented.model, self.segmented.image.rgb)

    # --- private ------------------------------------------------------------------------------

    def _in_hand(self, cache: EmbeddingCache) -> ClickSession:
        from napari_samstar.core.interactive.click_session import ClickSession

        if self._session is not None:
            return self._session
        if self.adaptation is not None:
            self.adaptation.begin()
        model, beside = self._models()
        return ClickSession(model, self.embedding(cache), beside=beside)

    def _ask_anew(self) -> None:
        """Let the models that answer now take over the object in hand."""
        if self._session is not None:
            self._session.model, self._session.beside = self._models()

    def _models(self) -> tuple[LoadedModel, LoadedModel | None]:
        """Return the model for first clicks, and the one that competes from the second on."""
        known = self.adaptation
        if known is None or not self.adapted or known.learned is None:
            return self._original(), None
        return (known.model if known.proven else known.original), known.beside

    def _original(self) -> LoadedModel:
        assert self.segmented is not None
        return self.segmented.model if self.adaptation is None else self.adaptation.original

    def _model(self) -> LoadedModel:
        assert self.segmented is not None
        if self.adaptation is None:
            return self.segmented.model
        return self.adaptation.model if self.adapted else self.adaptation.original


def _finish(work: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def find_all_again(
    correcting: Correcting, cache: EmbeddingCache
) -> Generator[Any, None, Segmented]:
    """Build the proposals anew with what was learned, and apply the settings on show to them."""
    from dataclasses import replace

    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.amg.select import select
    from napari_samstar.core.masks.labels import paint

    before = correcting.segmented
    assert before is not None
    model = correcting._model()
    config = before.selection.config
    bank = ProposalBank(before.image, model, cache)
    yield from bank.prepare(config)
    selection = select(bank, config)
    labels = paint(bank.masks, selection.ids)
    return replace(before, model=model, bank=bank, selection=selection, labels=labels)
