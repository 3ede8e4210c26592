"""Prediction of one mask from clicks and a box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive.clicks import (
    MAX_COVERAGE,
    Click,
    ClickPrompt,
    Prediction,
    clicked_pixel,
)
from napari_samstar.core.interactive.prompt_encoding import is_multimask, prompt_arrays

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Embedding, LoadedModel


def predict(
    model: LoadedModel,
    embedding: Embedding,
    prompt: ClickPrompt,
    mask_prompt: NDArray[np.float32] | None = None,
) -> Prediction:
    """Return the mask of a prompt, equal bit for bit to `segment_anything.SamPredictor`'s.

    For a single click without a mask prompt, `choose_mask` picks one of three masks; any other
    prompt gives one mask.

    Parameters
    ----------
    mask_prompt : ndarray of float32, shape (h, w), optional
        `Prediction.low_res_logits` of the previous prompt.
    """
    masks, scores, logits = predict_masks(model, embedding, prompt, mask_prompt)
    k = choose_mask(masks, scores, prompt.clicks[0]) if len(masks) > 1 else 0
    return Prediction(masks[k], logits[k], float(scores[k]))


def predict_masks(
    model: LoadedModel,
    embedding: Embedding,
    prompt: ClickPrompt,
    mask_prompt: NDArray[np.float32] | None,
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Return masks (n, H, W), their predicted IoU (n,) and their low-resolution logits (n, h, w).

    n is 3 for a single click without a mask prompt, else 1.
    """
    if not prompt:
        raise UserError("There is nothing to predict from: click on an object or draw a box.")
    return model.backend.predict(
        embedding,
        prompt_arrays(prompt, mask_prompt),
        multimask=is_multimask(prompt, mask_prompt),
    )


def choose_mask(masks: NDArray[np.bool_], scores: NDArray[np.floating], click: Click) -> int:
    """Return the index of the mask that a first click most likely refers to.

    Of the masks that contain the click and cover at most `MAX_COVERAGE` of the image, the one of
    highest predicted IoU. If there is none, of all masks that are not empty.

    Parameters
    ----------
    masks : ndarray of bool, shape (n, H, W)
    scores : ndarray of float, shape (n,)
        Predicted IoU.
    """
    coverages = masks.mean(axis=(1, 2))
    row, col = clicked_pixel(click, masks.shape[1:])
    plausible = masks[:, row, col] & (coverages <= MAX_COVERAGE)
    allowed = plausible if plausible.any() else coverages > 0
    if not allowed.any():
        return int(scores.argmax())
    return int(np.where(allowed, scores, -np.inf).argmax())
