"""Clicks and a box on one image -> the mask SAM makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive.clicks import (
    MOST_COVERED,
    Click,
    ClickPrompt,
    Prediction,
    pixel,
)
from napari_samstar.core.interactive.prompt_encoding import prompt_arrays

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Embedding, LoadedModel


def predict(
    model: LoadedModel,
    embedding: Embedding,
    prompt: ClickPrompt,
    previous: NDArray[np.float32] | None = None,
) -> Prediction:
    """Answer a prompt as `segment_anything.SamPredictor` does, bit for bit.

    One click alone, without `previous` logits, asks for three masks, of which `choose` takes one;
    anything else asks for the single mask.

    Parameters
    ----------
    previous : ndarray of float32, shape (h, w), optional
        `Prediction.low_res` of the prompt before.
    """
    masks, scores, low_res = answers(model, embedding, prompt, previous)
    k = choose(masks, scores, prompt.clicks[0]) if len(masks) > 1 else 0
    return Prediction(masks[k], low_res[k], float(scores[k]))


def answers(
    model: LoadedModel,
    embedding: Embedding,
    prompt: ClickPrompt,
    previous: NDArray[np.float32] | None,
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Return SAM's masks (n, H, W), their predicted IoU and their logits (n, h, w)."""
    if not prompt:
        raise UserError("There is nothing to predict from: click on an object or draw a box.")
    return model.backend.predict(
        embedding,
        prompt_arrays(prompt, previous),
        multimask=prompt.first and previous is None,
    )


def choose(masks: NDArray[np.bool_], scores: NDArray[np.floating], click: Click) -> int:
    """Return which of several masks (n, H, W) a first click means.

    The one of the highest predicted IoU among those that hold the click and cover at most
    `MOST_COVERED` of the image; among all that are not empty where there is no such mask.
    """
    shares = masks.mean(axis=(1, 2))
    row, col = pixel(click, masks.shape[1:])
    sensible = masks[:, row, col] & (shares <= MOST_COVERED)
    allowed = sensible if sensible.any() else shares > 0
    if not allowed.any():
        return int(scores.argmax())
    return int(np.where(allowed, scores, -np.inf).argmax())
