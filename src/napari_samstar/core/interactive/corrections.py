"""Correction of a mask by a click: the mask that agrees with all clicks so far.

Outlines are fitted in a frame of at most `FIT_SIDE` px, the *fit frame*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_samstar.core.interactive.clicks import MAX_COVERAGE, clicked_pixel
from napari_samstar.core.interactive.contour_fit import (
    Candidate,
    ClickConstraint,
    best_candidate,
    clean_mask,
    warp_contour,
)
from napari_samstar.core.interactive.prompt_encoding import prompt_arrays
from napari_samstar.core.interactive.state import CorrectionContext

if TYPE_CHECKING:
    from napari_samstar.core.interactive.clicks import Click, ClickPrompt
    from napari_samstar.core.models.backend import Embedding, LoadedModel

FIT_SIDE = 1024
"""Long side of the fit frame, px; smaller images are not resized."""

N_FIRST_CANDIDATES, MAX_LATER_CANDIDATES = 3, 24
"""The first masks always stay candidates; of the later ones the newest."""

MAX_IMPLIED_PARTS, MIN_PART_SHARE = 5, 0.1
"""A mask to refine implies a positive point in each of its largest parts of at least this share."""


@dataclass(frozen=True, eq=False)
class Correction:
    """A corrected mask.

    Attributes
    ----------
    mask : ndarray of bool, shape (H, W)
    predicted_iou : float
        Of the candidate that it was made from.
    context : CorrectionContext
        For the next correction.
    """

    mask: NDArray[np.bool_]
    predicted_iou: float
    context: CorrectionContext


def fit_frame_shape(embedding: Embedding) -> tuple[int, int]:
    """Return rows and columns of the fit frame."""
    rows, cols = embedding.original_size
    scale = min(1.0, FIT_SIDE / max(rows, cols))
    return max(1, round(rows * scale)), max(1, round(cols * scale))


def add_candidates(
    context: CorrectionContext,
    masks: Sequence[NDArray[np.bool_]],
    predicted_ious: Sequence[float],
) -> CorrectionContext:
    """Return the context with more candidates, masks of shape (H, W) of the image."""
    made = (
        Candidate.from_mask(_to_fit_frame(mask), float(value))
        for mask, value in zip(masks, predicted_ious, strict=True)
    )
    candidates = (*context.candidates, *(c for c in made if c is not None))
    return CorrectionContext(context.constraints, candidates)


def context_from_mask(mask: NDArray[np.bool_]) -> CorrectionContext:
    """Return the context of a mask to refine, (H, W), before any click.

    The centres of its larger parts become positive points.
    """
    context = add_candidates(CorrectionContext(), [mask], [1.0])
    parts, count = ndimage.label(_to_fit_frame(mask))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    largest = np.argsort(-sizes)[:MAX_IMPLIED_PARTS]
    constraints = tuple(
        _centre_constraint(parts == k + 1)
        for k in largest
        if sizes[k] >= MIN_PART_SHARE * sizes.sum()
    )
    return CorrectionContext(constraints, context.candidates)


def add_click(
    context: CorrectionContext, click: Click, shape: tuple[int, int]
) -> CorrectionContext:
    """Return the context with a click that says only whether its pixel is inside.

    Parameters
    ----------
    shape : (int, int)
        Of the image.
    """
    row, col = _click_in_fit_frame(click, shape)
    constraint = ClickConstraint(row, col, 1.0 if click.positive else -1.0, sign_only=True)
    return CorrectionContext((*context.constraints, constraint), context.candidates)


def correct_mask(
    models: Sequence[LoadedModel],
    embedding: Embedding,
    prompt: ClickPrompt,
    mask_prompt: NDArray[np.float32],
    current: NDArray[np.bool_],
    context: CorrectionContext,
) -> Correction:
    """Correct the current mask by the newest click of `prompt`, which contradicts it.

    Each model predicts its four masks. Of these and all earlier ones, the candidate that agrees
    best with all clicks is taken, and its contour is warped until it agrees with them.

    Parameters
    ----------
    models : sequence of LoadedModel
    prompt : ClickPrompt
    mask_prompt : ndarray of float32, shape (h, w)
        Low-resolution logits.
    current : ndarray of bool, shape (H, W)
    context : CorrectionContext
        Before the newest click.
    """
    click = prompt.clicks[-1]
    newest = _constraint_from_click(click, current)
    kept = (c for c in context.constraints if not _contradicts(newest, c))
    constraints = (*kept, newest)
    first = context.candidates[:N_FIRST_CANDIDATES]
    later = context.candidates[N_FIRST_CANDIDATES:][-MAX_LATER_CANDIDATES:]
    new = [c for m in models for c in _predict_candidates(m, embedding, prompt, mask_prompt)]
    candidates = (*first, *later, *new)
    pool = _plausible_candidates(candidates, current, fit_frame_shape(embedding))
    if not pool:
        return _mask_of_clicked_pixels(constraints, embedding)
    chosen = best_candidate(pool, constraints)
    mask = _warped_mask(chosen, constraints, embedding.original_size)
    row, col = clicked_pixel(click, mask.shape)
    mask[row, col] = click.positive
    return Correction(mask, chosen.predicted_iou, CorrectionContext(constraints, candidates))


# --- candidates -------------------------------------------------------------------------------


@torch.no_grad()
def _predict_candidates(
    model: LoadedModel, embedding: Embedding, prompt: ClickPrompt, mask_prompt: NDArray[np.float32]
) -> Iterator[Candidate]:
    """Yield all four masks of one run of the decoder, without the empty ones."""
    backend = model.backend
    encoded = backend.encode_prompt(embedding, prompt_arrays(prompt, mask_prompt))
    low_res_logits, predicted_iou = backend.decode_all(encoded)
    logits = backend.upscale(low_res_logits[None], embedding, fit_frame_shape(embedding))
    masks = (logits[0] > backend.mask_threshold).cpu().numpy()
    for mask, value in zip(masks, predicted_iou.tolist(), strict=True):
        candidate = Candidate.from_mask(mask, value)
        if candidate is not None:
            yield candidate


def _plausible_candidates(
    candidates: tuple[Candidate, ...], current: NDArray[np.bool_], shape: tuple[int, int]
) -> Sequence[Candidate]:
    """Return the candidates below `MAX_COVERAGE`; else all of them; else the current mask."""
    rows, cols = shape
    plausible = [c for c in candidates if c.area <= MAX_COVERAGE * rows * cols]
    if plausible or candidates:
        return plausible or candidates
    start = Candidate.from_mask(_to_fit_frame(current), 1e-3)
    return () if start is None else (start,)


# --- constraints ------------------------------------------------------------------------------


def _centre_constraint(part: NDArray[np.bool_]) -> ClickConstraint:
    """Return an implied positive point at the deepest pixel of a part of a mask."""
    padded = np.pad(part, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    return ClickConstraint(int(row) - 1, int(col) - 1, 1.0, sign_only=True, implied=True)


def _constraint_from_click(click: Click, current: NDArray[np.bool_]) -> ClickConstraint:
    """Return a click on the current mask as a measurement of the true signed distance.

    The true contour is as far from the click as the current one, on the other side.
    """
    row, col = _click_in_fit_frame(click, current.shape)
    candidate = Candidate.from_mask(_to_fit_frame(current), 1.0)
    sign = 1.0 if click.positive else -1.0
    if candidate is None:
        return ClickConstraint(row, col, sign, sign_only=True)
    distance = float(candidate.distance_at(np.array([row]), np.array([col]))[0])
    return ClickConstraint(row, col, sign * max(abs(distance), 0.5), clicked_mask=candidate)


def _contradicts(new: ClickConstraint, old: ClickConstraint) -> bool:
    """Return whether a negative click is so close to an implied point that it replaces it."""
    offset = float(np.hypot(new.row - old.row, new.col - old.col))
    return old.implied and new.distance < 0 and offset < max(-new.distance, 1.5)


def _shift_constraints(
    constraints: Sequence[ClickConstraint], origin: tuple[int, int]
) -> list[ClickConstraint]:
    """Return the constraints in a frame whose first pixel is `origin`."""
    row, col = origin
    return [replace(c, row=c.row - row, col=c.col - col) for c in constraints]


# --- masks ------------------------------------------------------------------------------------


def _warped_mask(
    candidate: Candidate, constraints: Sequence[ClickConstraint], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return the warped and cleaned mask of a candidate in the image's frame, of `shape`."""
    level_set, window = warp_contour(candidate, constraints)
    # Clean with a border of one pixel of background around the window
    origin = (window[0].start - 1, window[1].start - 1)
    padded = np.pad(level_set > 0, 1)
    part = clean_mask(padded, _shift_constraints(constraints, origin))[1:-1, 1:-1]
    if candidate.frame_shape == shape:
        mask = np.zeros(shape, dtype=bool)
        mask[window] = part
        return mask
    # Resize the level set, not the mask: its zero crossing stays smooth
    canvas = np.full(candidate.frame_shape, -1, np.float32)
    unchanged = part == (level_set > 0)
    canvas[window] = np.where(unchanged, level_set, np.where(part, 0.5, -0.5))
    resized = cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized > 0)


def _mask_of_clicked_pixels(
    constraints: tuple[ClickConstraint, ...], embedding: Embedding
) -> Correction:
    """Return the positive pixels alone, where the model predicts no mask at all."""
    mask = np.zeros(fit_frame_shape(embedding), dtype=bool)
    for c in constraints:
        mask[c.row, c.col] = c.distance > 0
    rows, cols = embedding.original_size
    resized = cv2.resize(mask.astype(np.uint8), (cols, rows), interpolation=cv2.INTER_NEAREST)
    return Correction(resized > 0, 0.0, CorrectionContext(constraints))


def _to_fit_frame(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, cols = mask.shape
    if max(rows, cols) <= FIT_SIDE:
        return mask
    scale = FIT_SIDE / max(rows, cols)
    size = (max(1, round(cols * scale)), max(1, round(rows * scale)))
    return np.asarray(
        cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
    )


def _click_in_fit_frame(click: Click, shape: Sequence[int]) -> tuple[int, int]:
    row, col = clicked_pixel(click, shape)
    scale = min(1.0, FIT_SIDE / max(shape))
    return (
        min(int((row + 0.5) * scale), max(1, round(shape[0] * scale)) - 1),
        min(int((col + 0.5) * scale), max(1, round(shape[1] * scale)) - 1),
    )
