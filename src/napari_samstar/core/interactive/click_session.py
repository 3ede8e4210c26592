"""Segmentation of one object by clicks, with exact undo and redo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.interactive.clicks import Click, ClickPrompt, Prediction, clicked_pixel
from napari_samstar.core.interactive.corrections import (
    add_candidates,
    add_click,
    context_from_mask,
    correct_mask,
)
from napari_samstar.core.interactive.predict import choose_mask, predict_masks
from napari_samstar.core.interactive.state import ClickState, CorrectionContext
from napari_samstar.core.interactive.window import ClickWindow

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Embedding, LoadedModel


class ClickSession:
    """Segmentation of one object of one image by clicks.

    All states are kept, so undo and redo restore identical masks without running the model. Clicks
    and masks are in the frame of the embedding: of the image, or of a window of it.

    Parameters
    ----------
    model : LoadedModel
        May be replaced between clicks, for example by an adapted model.
    embedding : Embedding
    start : ndarray of bool, shape (H, W), optional
        A mask to refine; the first click is then a correction.
    fit_contour : bool
        Whether a correction fits the contour to all clicks (`corrections`). If not, the masks are
        `SamPredictor`'s, as the first click's always is.
    competitor : LoadedModel, optional
        A second model whose masks are also candidates of corrections; may be replaced, too.
    window : ClickWindow, optional
        Where the embedding lies in the image; by default it is the whole image.
    """

    def __init__(
        self,
        model: LoadedModel,
        embedding: Embedding,
        start: NDArray[np.bool_] | None = None,
        *,
        fit_contour: bool = True,
        competitor: LoadedModel | None = None,
        window: ClickWindow | None = None,
    ) -> None:
        self.model = model
        self.competitor = competitor
        self.embedding = embedding
        self.window = window or ClickWindow.whole(embedding.original_size)
        self.fit_contour = fit_contour
        first = ClickState()
        if start is not None:
            mask = start.astype(bool)
            prediction = Prediction(mask, mask_to_logits(mask, model, embedding), float("nan"))
            first = ClickState(prediction=prediction, context=context_from_mask(mask))
        self._states: list[ClickState] = [first]
        self._undone: list[ClickState] = []

    @property
    def state(self) -> ClickState:
        """The current state."""
        return self._states[-1]

    @property
    def start(self) -> ClickState:
        """The state before any click."""
        return self._states[0]

    @property
    def states(self) -> tuple[ClickState, ...]:
        """All states after a click or a box, oldest first."""
        return tuple(self._states[1:])

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier state."""
        return len(self._states) > 1

    @property
    def can_redo(self) -> bool:
        """Whether a state was undone and no new one was added since."""
        return bool(self._undone)

    def add(self, click: Click) -> Prediction:
        """Add a click and return the new mask."""
        state = self.compute(self.state.prompt.add(click))
        self.push(state)
        assert state.prediction is not None
        return state.prediction

    def compute(self, prompt: ClickPrompt) -> ClickState:
        """Return the state that `prompt` leads to from the current one; nothing changes."""
        return self._next_state(self.state, prompt)

    def push(self, state: ClickState) -> None:
        """Make a state from `compute` the current one."""
        self._states.append(state)
        self._undone.clear()

    def recompute(self) -> ClickState:
        """Return the current state computed again, after `model` changed; nothing changes."""
        if not self.can_undo:
            return self.state
        return self._next_state(self._states[-2], self.state.prompt)

    def replace(self, state: ClickState) -> None:
        """Replace the current state by one from `recompute`; this is no step of undo."""
        self._states[-1] = state

    def refresh(self) -> Prediction | None:
        """Recompute and replace the current state, and return its mask."""
        self.replace(self.recompute())
        return self.state.prediction

    def undo(self) -> ClickState:
        """Go back one state and return it; the first one has no prompt."""
        if self.can_undo:
            self._undone.append(self._states.pop())
        return self.state

    def redo(self) -> ClickState:
        """Restore the last undone state and return it."""
        if self._undone:
            self._states.append(self._undone.pop())
        return self.state

    # --- private ------------------------------------------------------------------------------

    def _next_state(self, before: ClickState, prompt: ClickPrompt) -> ClickState:
        has_new_click = len(prompt.clicks) > len(before.prompt.clicks)
        if self.fit_contour and has_new_click and before.prediction is not None:
            return self._correct(before, before.prediction, prompt)
        return self._predict(before, prompt, has_new_click)

    def _predict(self, before: ClickState, prompt: ClickPrompt, has_new_click: bool) -> ClickState:
        """Return the model's own mask for a prompt."""
        previous = before.prediction
        mask_prompt = None if previous is None else previous.low_res_logits
        masks, scores, logits = predict_masks(self.model, self.embedding, prompt, mask_prompt)
        k = choose_mask(masks, scores, prompt.clicks[0]) if len(masks) > 1 else 0
        prediction = Prediction(masks[k], logits[k], float(scores[k]))
        context = before.context
        if self.fit_contour:
            context = add_candidates(context, list(masks), scores.tolist())
            if has_new_click:
                context = self._with_click(context, prompt.clicks[-1])
        return ClickState(prompt, prediction, mask_prompt, context)

    def _correct(self, before: ClickState, current: Prediction, prompt: ClickPrompt) -> ClickState:
        """Return the current mask corrected by the newest click."""
        click = prompt.clicks[-1]
        # Logits made from the current mask work better as a mask prompt than the model's own.
        mask_prompt = mask_to_logits(current.mask, self.model, self.embedding)
        pixel = clicked_pixel(click, self.embedding.original_size)
        if bool(current.mask[pixel]) == click.positive:  # nothing to correct
            context = self._with_click(before.context, click)
            return ClickState(prompt, current, mask_prompt, context)
        correction = correct_mask(
            self._models(), self.embedding, prompt, mask_prompt, current.mask, before.context
        )
        logits = mask_to_logits(correction.mask, self.model, self.embedding)
        prediction = Prediction(correction.mask, logits, correction.predicted_iou)
        return ClickState(prompt, prediction, mask_prompt, correction.context)

    def _with_click(self, context: CorrectionContext, click: Click) -> CorrectionContext:
        return add_click(context, click, self.embedding.original_size)

    def _models(self) -> list[LoadedModel]:
        if self.competitor is None or self.competitor is self.model:
            return [self.model]
        return [self.model, self.competitor]


def mask_to_logits(
    mask: NDArray[np.bool_], model: LoadedModel, embedding: Embedding
) -> NDArray[np.float32]:
    """Return a mask, bool of shape (H, W), as low-resolution logits for a mask prompt.

    The covered share s of each low-resolution pixel becomes level * (2 s - 1), with the backend's
    `mask_prompt_level`. Padding is background.
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
