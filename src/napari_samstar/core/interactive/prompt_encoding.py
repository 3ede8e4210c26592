"""The prompt of a click session in the form that a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.models.backend import EncodedPrompt, PromptArrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.interactive.clicks import ClickPrompt
    from napari_samstar.core.interactive.state import ClickState
    from napari_samstar.core.models.backend import Embedding, LoadedModel


def prompt_arrays(prompt: ClickPrompt, previous: NDArray[np.float32] | None = None) -> PromptArrays:
    """Return a prompt in (x, y), with the logits of the answer before it if there was one."""
    box, clicks = prompt.box, prompt.clicks
    return PromptArrays(
        points=np.array([(c.col, c.row) for c in clicks], float) if clicks else None,
        labels=np.array([int(c.positive) for c in clicks]) if clicks else None,
        box=None if box is None else np.array([box.col0, box.row0, box.col1, box.row1], float),
        mask=previous,
    )


def encode_prompt(model: LoadedModel, embedding: Embedding, state: ClickState) -> EncodedPrompt:
    """Encode the prompt of a click session's state as `SamPredictor` does."""
    return model.backend.encode_prompt(embedding, prompt_arrays(state.prompt, state.previous))


def gives_several(state: ClickState) -> bool:
    """Return whether SAM answers a state's prompt with three masks."""
    return state.prompt.first and state.previous is None
