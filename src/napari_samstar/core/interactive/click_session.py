"""One object being clicked: every state is kept, with exact undo and redo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.interactive.clicks import Click, ClickPrompt, Prediction, pixel
from napari_samstar.core.interactive.corrections import (
    corrected,
    memory_of_mask,
    with_candidates,
    with_click,
)
from napari_samstar.core.interactive.predict import answers, choose
from napari_samstar.core.interactive.state import ClickState

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Embedding, LoadedModel


class ClickSession:
    """One object being clicked on one image.

    Every state is kept, so undo and redo bring back the very same mask without asking the model.

    Parameters
    ----------
    model : LoadedModel
        May be replaced between clicks: an adapted decoder answers from then on.
    embedding : Embedding
    start : ndarray of bool, shape (H, W), optional
        A mask to refine; the first click is then a correction.
    fitted : bool
        Whether a correction fits the outline to all clicks (`corrections`). Without it the masks
        are `SamPredictor`'s, as the first click's always is.
    beside : LoadedModel, optional
        Its answers to corrections compete with `model`'s; may be replaced, too.
    """

    def __init__(
        self,
        model: LoadedModel,
        embedding: Embedding,
        start: NDArray[np.bool_] | None = None,
        *,
        fitted: bool = True,
        beside: LoadedModel | None = None,
    ) -> None:
        self.model = model
        self.beside = beside
        self.embedding = embedding
        self.fitted = fitted
        first = ClickState()
        if start is not None:
            mask = start.astype(bool)
            shown = Prediction(mask, logits_of(mask, model, embedding), float("nan"))
            first = ClickState(prediction=shown, memory=memory_of_mask(mask))
        self._states: list[ClickState] = [first]
        self._undone: list[ClickState] = []

    @property
    def state(self) -> ClickState:
        """The present state."""
        return self._states[-1]

    @property
    def states(self) -> tuple[ClickState, ...]:
        """All states that were asked for, oldest first."""
        return tuple(self._states[1:])

    @property
    def can_undo(self) -> bool:
        """Whether there is a state before this one."""
        return len(self._states) > 1

    @property
    def can_redo(self) -> bool:
        """Whether a state was undone and nothing new was clicked since."""
        return bool(self._undone)

    def add(self, click: Click) -> Prediction:
        """Add a click and return the new mask."""
        return self._ask(self.state.prompt.add(click))

    def answer(self, prompt: ClickPrompt) -> ClickState:
        """Answer a prompt from the present state, without taking it over."""
        return self._answer(self.state, prompt)

    def take(self, state: ClickState) -> None:
        """Take over a state that `answer` made."""
        self._states.append(state)
        self._undone.clear()

    def again(self) -> ClickState:
        """Answer the present prompt anew, after `model` was replaced, without taking it over."""
        return self._answer(self._states[-2], self.state.prompt) if self.can_undo else self.state

    def put(self, state: ClickState) -> None:
        """Replace the present state by one that `again` made; no new undo state."""
        self._states[-1] = state

    def refresh(self) -> Prediction | None:
        """Ask the present prompt again and take the answer over."""
        self.put(self.again())
        return self.state.prediction

    def undo(self) -> ClickState:
        """Go back one state and return it; the first one is the empty prompt."""
        if self.can_undo:
            self._undone.append(self._states.pop())
        return self.state

    def redo(self) -> ClickState:
        """Undo the last undo and return the state."""
        if self._undone:
            self._states.append(self._undone.pop())
        return self.state

    def _ask(self, prompt: ClickPrompt) -> Prediction:
        state = self.answer(prompt)
        self.take(state)
        assert state.prediction is not None
        return state.prediction

    def _answer(self, before: ClickState, prompt: ClickPrompt) -> ClickState:
        added = len(prompt.clicks) > len(before.prompt.clicks)
        if self.fitted and added and before.prediction is not None:
            return self._correct(before, before.prediction, prompt)
        previous = None if before.prediction is None else before.prediction.low_res
        masks, scores, low_res = answers(self.model, self.embedding, prompt, previous)
        k = choose(masks, scores, prompt.clicks[0]) if len(masks) > 1 else 0
        prediction = Prediction(masks[k], low_res[k], float(scores[k]))
        memory = before.memory
        if self.fitted:
            memory = with_candidates(memory, list(masks), scores.tolist())
            if added:
                memory = with_click(memory, prompt.clicks[-1], self.embedding.original_size)
        return ClickState(prompt, prediction, previous, memory)

    def _correct(self, before: ClickState, shown: Prediction, prompt: ClickPrompt) -> ClickState:
        click, size = prompt.clicks[-1], self.embedding.original_size
        # A mask prompt that says just what is on show worked better than SAM's own logits.
        previous = logits_of(shown.mask, self.model, self.embedding)
        if bool(shown.mask[pixel(click, size)]) == click.positive:  # it asks for no change
            return ClickState(prompt, shown, previous, with_click(before.memory, click, size))
        beside = [] if self.beside in (None, self.model) else [self.beside]
        found = corrected(
            [self.model, *(m for m in beside if m is not None)],
            self.embedding,
            prompt,
            previous,
            shown.mask,
            before.memory,
        )
        logits = logits_of(found.mask, self.model, self.embedding)
        prediction = Prediction(found.mask, logits, found.quality)
        return ClickState(prompt, prediction, previous, found.memory)


def logits_of(
    mask: NDArray[np.bool_], model: LoadedModel, embedding: Embedding
) -> NDArray[np.float32]:
    """Turn a mask, bool of shape (H, W), into logits that a click can refine.

    Its share of each low-resolution pixel becomes a logit of at most 10 either way, for pocket of
    its own softness; padding is background.
    """
    import torch
    from torch.nn import functional as F

    backend = model.backend
    side, (rows, cols), level = backend.frame_side, backend.low_res_shape, backend.mask_prompt_level
    resized = F.interpolate(
        torch.from_numpy(mask[None, None].astype(np.float32)),
        embedding.input_size,
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    height, width = embedding.input_size
    framed = F.pad(resized, (0, side - width, 0, side - height))
    share = F.interpolate(framed, (rows, cols), mode="area")[0, 0]
    return np.asarray((level * (2 * share - 1)).numpy(), dtype=np.float32)
