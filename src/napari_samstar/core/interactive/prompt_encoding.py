"""Conversion of a click session's prompt to the inputs of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.models.backend import EncodedPrompt, PromptArrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.interactive.clicks import ClickPrompt
    from napari_samstar.core.interactive.state import ClickState
    from napari_samstar.core.models.backend import Embedding, LoadedModel


def prompt_arrays(
    prompt: ClickPrompt, mask_prompt: NDArray[np.float32] | None = None
) -> PromptArrays:
    """Return a prompt as arrays in (x, y) order.

    Parameters
    ----------
    mask_prompt : ndarray of float32, shape (h, w), optional
        Low-resolution logits.
    """
    box, clicks = prompt.box, prompt.clicks
    return PromptArrays(
        points=np.array([(c.col, c.row) for c in clicks], float) if clicks else None,
        labels=np.array([int(c.positive) for c in clicks]) if clicks else None,
        box=None if box is None else np.array([box.col0, box.row0, box.col1, box.row1], float),
        mask=mask_prompt,
    )


def encode_prompt(model: LoadedModel, embedding: Embedding, state: ClickState) -> EncodedPrompt:
    """Encode the prompt of a click session's state as `SamPredictor` does."""
    return model.backend.encode_prompt(embedding, prompt_arrays(state.prompt, state.mask_prompt))


def is_multimask(prompt: ClickPrompt, mask_prompt: NDArray[np.float32] | None) -> bool:
    """Return whether three masks are predicted: for a single click without a mask prompt."""
    return prompt.is_single_click and mask_prompt is None
