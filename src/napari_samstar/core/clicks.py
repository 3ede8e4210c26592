"""Clicks and a box on one image -> the mask SAM makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.corrections import MOST_COVERED, pixel
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.encoder import Embedding
    from napari_samstar.core.models import LoadedModel


@dataclass(frozen=True)
class Click:
    """One click, px of the image: inside the object, or outside of it."""

    row: float
    col: float
    positive: bool = True


@dataclass(frozen=True)
class Box:
    """A box around the object, px of the image, edges included."""

    row0: float
    col0: float
    row1: float
    col1: float

    def __post_init__(self) -> None:
        """Refuse a box without area."""
        if self.row1 <= self.row0 or self.col1 <= self.col0:
            raise UserError("The box has no area: drag it from corner to corner of the object.")


@dataclass(frozen=True)
class Prompt:
    """What was pointed at so far."""

    clicks: tuple[Click, ...] = ()
    box: Box | None = None

    def __bool__(self) -> bool:
        return bool(self.clicks) or self.box is not None

    def add(self, click: Click) -> Prompt:
        """Return the prompt with one more click."""
        return replace(self, clicks=(*self.clicks, click))

    @property
    def first(self) -> bool:
        """Whether it is one click alone, which SAM answers with three masks."""
        return len(self.clicks) == 1 and self.box is None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A mask for a prompt.

    Attributes
    ----------
    mask : ndarray of bool, shape (H, W)
        In the image's frame.
    low_res : ndarray of float32, shape (h, w)
        Logits in the model's low-resolution frame, padding included: the next mask prompt.
    predicted_iou : float
    """

    mask: NDArray[np.bool_]
    low_res: NDArray[np.float32]
    predicted_iou: float


def predict(
    model: LoadedModel,
    embedding: Embedding,
    prompt: Prompt,
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
    prompt: Prompt,
    previous: NDArray[np.float32] | None,
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Return SAM's masks (n, H, W), their predicted IoU and their logits (n, h, w)."""
    if not prompt:
        raise UserError("There is nothing to predict from: click on an object or draw a box.")
    masks, scores, low_res = embedding.predictor(model).predict(
        **_to_sam(prompt),
        mask_input=None if previous is None else previous[None],
        multimask_output=prompt.first and previous is None,
    )
    return masks, scores, low_res


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


def _to_sam(prompt: Prompt) -> dict[str, NDArray[np.float64] | NDArray[np.int64] | None]:
    """Return the prompt as `SamPredictor.predict` takes it, in (x, y)."""
    box = prompt.box
    clicks = prompt.clicks
    return {
        "point_coords": np.array([(c.col, c.row) for c in clicks], float) if clicks else None,
        "point_labels": np.array([int(c.positive) for c in clicks]) if clicks else None,
        "box": None if box is None else np.array([box.col0, box.row0, box.col1, box.row1], float),
    }
