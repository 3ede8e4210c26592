"""A correcting click -> the mask that agrees with all clicks, from all of SAM's answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_samstar.core.interactive.clicks import MOST_COVERED, pixel
from napari_samstar.core.interactive.contour_fit import (
    Candidate,
    ClickConstraint,
    best,
    tidy,
    warp_contour,
)
from napari_samstar.core.interactive.prompt_encoding import prompt_arrays
from napari_samstar.core.interactive.state import Memory

if TYPE_CHECKING:
    from napari_samstar.core.interactive.clicks import Click, ClickPrompt
    from napari_samstar.core.models.backend import Embedding, LoadedModel

LONG_SIDE = 1024
"""px; outlines of larger images are fitted on a frame of this long side."""

MOST_KNOWN = 24
"""So many earlier answers stay in the choice, besides the first three."""

MOST_PARTS, LEAST_PART = 5, 0.1
"""Of a mask to refine so many parts are meant, each at least this share of it."""


@dataclass(frozen=True, eq=False)
class Corrected:
    """The corrected mask (H, W), what it was made from, and what is known now."""

    mask: NDArray[np.bool_]
    quality: float
    memory: Memory


def frame_shape(embedding: Embedding) -> tuple[int, int]:
    """Rows and columns of the frame in which outlines are fitted."""
    rows, cols = embedding.original_size
    scale = min(1.0, LONG_SIDE / max(rows, cols))
    return max(1, round(rows * scale)), max(1, round(cols * scale))


def with_candidates(
    memory: Memory, masks: Sequence[NDArray[np.bool_]], qualities: Sequence[float]
) -> Memory:
    """Return the memory with further masks, each (H, W) of the image, as candidates."""
    made = (
        Candidate.of(_to_frame(mask), float(quality))
        for mask, quality in zip(masks, qualities, strict=True)
    )
    return Memory(memory.constraints, (*memory.candidates, *(c for c in made if c is not None)))


def memory_of_mask(mask: NDArray[np.bool_]) -> Memory:
    """Return what a mask to refine, (H, W), says before any click: its larger parts are meant."""
    memory = with_candidates(Memory(), [mask], [1.0])
    frame = _to_frame(mask)
    parts, count = ndimage.label(frame)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    constraints = []
    for k in [k for k in np.argsort(-sizes)[:MOST_PARTS] if sizes[k] >= LEAST_PART * sizes.sum()]:
        inner = cv2.distanceTransform(
            np.pad(parts == k + 1, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5
        )
        row, col = np.unravel_index(int(inner.argmax()), inner.shape)
        constraints.append(
            ClickConstraint(int(row) - 1, int(col) - 1, 1.0, exact=False, implied=True)
        )
    return Memory(tuple(constraints), memory.candidates)


def with_click(memory: Memory, click: Click, shape: tuple[int, int]) -> Memory:
    """Return the memory with a click of which only the side is known.

    Parameters
    ----------
    shape : (int, int)
        The image's.
    """
    row, col = _in_frame(click, shape)
    constraint = ClickConstraint(row, col, 1.0 if click.positive else -1.0, exact=False)
    return Memory((*memory.constraints, constraint), memory.candidates)


def corrected(
    models: Sequence[LoadedModel],
    embedding: Embedding,
    prompt: ClickPrompt,
    previous: NDArray[np.float32],
    shown: NDArray[np.bool_],
    memory: Memory,
) -> Corrected:
    """Answer the newest click of `prompt`, which contradicts the mask on show.

    Every model answers the prompt with its four masks. Of these and all earlier ones the one that
    agrees best with all clicks is taken, and its outline bent until it agrees with them.

    Parameters
    ----------
    previous : ndarray of float32, shape (h, w)
        The mask prompt.
    shown : ndarray of bool, shape (H, W)
    """
    click = prompt.clicks[-1]
    constraint = _constraint_of(click, shown)
    constraints = (*(r for r in memory.constraints if not _refutes(constraint, r)), constraint)
    new = [c for m in models for c in _answers(m, embedding, prompt, previous)]
    known = (*memory.candidates[:3], *memory.candidates[3:][-MOST_KNOWN:], *new)
    rows, cols = frame_shape(embedding)
    sensible = [c for c in known if c.area <= MOST_COVERED * rows * cols]
    start = Candidate.of(_to_frame(shown), 1e-3)
    pool = sensible or known or ((start,) if start is not None else ())
    if not pool:
        return _alone(constraints, embedding)
    taken = best(pool, constraints)
    mask = _drawn(taken, constraints, embedding.original_size)
    row, col = pixel(click, mask.shape)
    mask[row, col] = click.positive
    return Corrected(mask, taken.quality, Memory(constraints, known))


@torch.no_grad()
def _answers(
    model: LoadedModel, embedding: Embedding, prompt: ClickPrompt, previous: NDArray[np.float32]
) -> Iterator[Candidate]:
    """All four masks of one run of the decoder, the empty ones left out."""
    backend = model.backend
    encoded = backend.encode_prompt(embedding, prompt_arrays(prompt, previous))
    low, quality = backend.decode_all(encoded)
    logits = backend.upscale(low[None], embedding, frame_shape(embedding))
    masks = (logits[0] > backend.mask_threshold).cpu().numpy()
    for mask, value in zip(masks, quality.tolist(), strict=True):
        candidate = Candidate.of(mask, value)
        if candidate is not None:
            yield candidate


def _constraint_of(click: Click, shown: NDArray[np.bool_]) -> ClickConstraint:
    """Read a click on the mask on show: as far to the other side as it lies on this one."""
    row, col = _in_frame(click, shown.shape)
    candidate = Candidate.of(_to_frame(shown), 1.0)
    side = 1.0 if click.positive else -1.0
    if candidate is None:
        return ClickConstraint(row, col, side, exact=False)
    distance = float(candidate.at(np.array([row]), np.array([col]))[0])
    return ClickConstraint(row, col, side * max(abs(distance), 0.5), shown=candidate)


def _refutes(new: ClickConstraint, old: ClickConstraint) -> bool:
    """Whether a removing click says that what a mask to refine implied was wrong."""
    apart = float(np.hypot(new.row - old.row, new.col - old.col))
    return old.implied and new.distance < 0 and apart < max(-new.distance, 1.5)


def _drawn(
    candidate: Candidate, constraints: Sequence[ClickConstraint], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return the bent and tidied mask in the image's frame."""
    distance, window = warp_contour(candidate, constraints)
    part = tidy(np.pad(distance > 0, 1), _shifted(constraints, window))[1:-1, 1:-1]
    if candidate.shape == shape:
        mask = np.zeros(shape, dtype=bool)
        mask[window] = part
        return mask
    canvas = np.full(candidate.shape, -1, np.float32)
    canvas[window] = np.where(part == (distance > 0), distance, np.where(part, 0.5, -0.5))
    big = cv2.resize(canvas, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(big > 0)


def _shifted(
    constraints: Sequence[ClickConstraint], window: tuple[slice, slice]
) -> list[ClickConstraint]:
    """Return readings in the frame of the window with a border of one pixel."""
    row, col = window[0].start - 1, window[1].start - 1
    return [replace(r, row=r.row - row, col=r.col - col) for r in constraints]


def _alone(constraints: tuple[ClickConstraint, ...], embedding: Embedding) -> Corrected:
    """Where SAM answers with nothing at all: the clicked pixels."""
    mask = np.zeros(frame_shape(embedding), dtype=bool)
    for r in constraints:
        mask[r.row, r.col] = r.distance > 0
    rows, cols = embedding.original_size
    big = cv2.resize(mask.astype(np.uint8), (cols, rows), interpolation=cv2.INTER_NEAREST)
    return Corrected(big > 0, 0.0, Memory(constraints))


def _to_frame(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, cols = mask.shape
    if max(rows, cols) <= LONG_SIDE:
        return mask
    scale = LONG_SIDE / max(rows, cols)
    size = (max(1, round(cols * scale)), max(1, round(rows * scale)))
    return np.asarray(
        cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
    )


def _in_frame(click: Click, shape: Sequence[int]) -> tuple[int, int]:
    row, col = pixel(click, shape)
    scale = min(1.0, LONG_SIDE / max(shape))
    return (
        min(int((row + 0.5) * scale), max(1, round(shape[0] * scale)) - 1),
        min(int((col + 0.5) * scale), max(1, round(shape[1] * scale)) - 1),
    )
