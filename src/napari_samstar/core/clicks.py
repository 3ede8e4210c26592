"""Clicks and a box on one image -> the mask SAM makes of them, with exact undo and redo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.encoder import Embedding
    from napari_samstar.core.models import LoadedModel

MOST_COVERED = 0.5
"""A first click does not choose a mask above this share of the image while there is another."""

REACH = 2.5
"""A correction reaches this many times as far as the click lies from the outline."""

LEAST_REACH = 4.0
"""px; a correction reaches at least as far."""


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
    if not prompt:
        raise UserError("There is nothing to predict from: click on an object or draw a box.")
    several = prompt.first and previous is None
    masks, scores, low_res = embedding.predictor(model).predict(
        **_to_sam(prompt),
        mask_input=None if previous is None else previous[None],
        multimask_output=several,
    )
    k = choose(masks, scores, prompt.clicks[0]) if several else 0
    return Prediction(masks[k], low_res[k], float(scores[k]))


def choose(masks: NDArray[np.bool_], scores: NDArray[np.floating], click: Click) -> int:
    """Return which of several masks (n, H, W) a first click means.

    The one of the highest predicted IoU among those that hold the click and cover at most
    `MOST_COVERED` of the image; among all that are not empty where there is no such mask.
    """
    shares = masks.mean(axis=(1, 2))
    row, col = _pixel(click, masks.shape[1:])
    sensible = masks[:, row, col] & (shares <= MOST_COVERED)
    allowed = sensible if sensible.any() else shares > 0
    if not allowed.any():
        return int(scores.argmax())
    return int(np.where(allowed, scores, -np.inf).argmax())


def _pixel(click: Click, shape: Sequence[int]) -> tuple[int, int]:
    row = int(np.clip(round(click.row), 0, shape[0] - 1))
    return row, int(np.clip(round(click.col), 0, shape[1] - 1))


def _to_sam(prompt: Prompt) -> dict[str, NDArray[np.float64] | NDArray[np.int64] | None]:
    """Return the prompt as `SamPredictor.predict` takes it, in (x, y)."""
    box = prompt.box
    clicks = prompt.clicks
    return {
        "point_coords": np.array([(c.col, c.row) for c in clicks], float) if clicks else None,
        "point_labels": np.array([int(c.positive) for c in clicks]) if clicks else None,
        "box": None if box is None else np.array([box.col0, box.row0, box.col1, box.row1], float),
    }


@dataclass(frozen=True, eq=False)
class Step:
    """One state of a click session.

    Attributes
    ----------
    prompt : Prompt
    prediction : Prediction, optional
        None before anything was asked.
    previous : ndarray of float32, shape (h, w), optional
        The mask prompt that went in.
    """

    prompt: Prompt = Prompt()
    prediction: Prediction | None = None
    previous: NDArray[np.float32] | None = None


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
    local : bool
        Whether a correction changes the mask only near its click (`local_change`). Without it
        the masks are `SamPredictor`'s.
    """

    def __init__(
        self,
        model: LoadedModel,
        embedding: Embedding,
        start: NDArray[np.bool_] | None = None,
        *,
        local: bool = True,
    ) -> None:
        self.model = model
        self.embedding = embedding
        self.local = local
        first = Step()
        if start is not None:
            logits = logits_of(start, model, embedding)
            first = Step(prediction=Prediction(start.astype(bool), logits, float("nan")))
        self._steps: list[Step] = [first]
        self._undone: list[Step] = []

    @property
    def step(self) -> Step:
        """The present state."""
        return self._steps[-1]

    @property
    def steps(self) -> tuple[Step, ...]:
        """All states that were asked for, oldest first."""
        return tuple(self._steps[1:])

    @property
    def can_undo(self) -> bool:
        """Whether there is a state before this one."""
        return len(self._steps) > 1

    @property
    def can_redo(self) -> bool:
        """Whether a state was undone and nothing new was clicked since."""
        return bool(self._undone)

    def add(self, click: Click) -> Prediction:
        """Add a click and return the new mask."""
        return self._ask(self.step.prompt.add(click))

    def set_box(self, box: Box | None) -> Prediction:
        """Set or replace the box and return the new mask."""
        return self._ask(replace(self.step.prompt, box=box))

    def answer(self, prompt: Prompt) -> Step:
        """Answer a prompt from the present state, without taking it over."""
        return self._answer(self.step, prompt)

    def take(self, step: Step) -> None:
        """Take over a state that `answer` made."""
        self._steps.append(step)
        self._undone.clear()

    def again(self) -> Step:
        """Answer the present prompt anew, after `model` was replaced, without taking it over."""
        return self._answer(self._steps[-2], self.step.prompt) if self.can_undo else self.step

    def put(self, step: Step) -> None:
        """Replace the present state by one that `again` made; no new undo state."""
        self._steps[-1] = step

    def refresh(self) -> Prediction | None:
        """Ask the present prompt again and take the answer over."""
        self.put(self.again())
        return self.step.prediction

    def undo(self) -> Step:
        """Go back one state and return it; the first one is the empty prompt."""
        if self.can_undo:
            self._undone.append(self._steps.pop())
        return self.step

    def redo(self) -> Step:
        """Undo the last undo and return the state."""
        if self._undone:
            self._steps.append(self._undone.pop())
        return self.step

    def _ask(self, prompt: Prompt) -> Prediction:
        step = self.answer(prompt)
        self.take(step)
        assert step.prediction is not None
        return step.prediction

    def _answer(self, before: Step, prompt: Prompt) -> Step:
        shown = before.prediction
        previous = None if shown is None else shown.low_res
        prediction = predict(self.model, self.embedding, prompt, previous)
        added = len(prompt.clicks) > len(before.prompt.clicks)
        if self.local and shown is not None and added:
            prediction = self._near(prompt.clicks[-1], shown, prediction)
        return Step(prompt, prediction, previous)

    def _near(self, click: Click, shown: Prediction, new: Prediction) -> Prediction:
        mask = local_change(shown.mask, new.mask, click)
        wanted = logits_of(mask, self.model, self.embedding)
        # Where the logits say something else than the mask on show, they would undo it.
        logits = np.where((wanted > 0) == (new.low_res > 0), new.low_res, wanted)
        return Prediction(mask, logits, new.predicted_iou)


def local_change(old: NDArray[np.bool_], new: NDArray[np.bool_], click: Click) -> NDArray[np.bool_]:
    """Let a correcting click change a mask only where it was made, and surely there.

    A positive click adds, a negative one removes. What changes is the part of the difference
    between `old` and `new` (H, W) that hangs together with the click and lies within `REACH`
    times the click's distance d from `old`'s outline; and a disc about the click that touches the
    outline, of a radius of at most that of a circle of `old`'s area.

    One clicks into the middle of an error, so d tells how large the error is. The rest of the
    mask was on show and was not clicked on. Akin to the progressive merge of FocalClick
    (arXiv 2204.02574).
    """
    row, col = _pixel(click, old.shape)
    changing = ~old if click.positive else old
    if not changing[row, col]:
        return old
    size = max(float(np.sqrt(old.sum() / np.pi)), 3.0) if old.any() else 3.0
    window, distance = _distance_to_outline(changing, row, col)
    rows, cols = np.ogrid[window]
    squared = (rows - row) ** 2 + (cols - col) ** 2
    differs = (new if click.positive else ~new)[window] & changing[window]
    differs &= squared <= max(REACH * distance, LEAST_REACH) ** 2
    differs |= (squared <= min(distance, size) ** 2) & changing[window]
    parts, _ = ndimage.label(differs)
    changed = parts == parts[row - window[0].start, col - window[1].start]
    result = old.copy()
    result[window][changed] = click.positive
    return result


def _distance_to_outline(
    region: NDArray[np.bool_], row: int, col: int
) -> tuple[tuple[slice, slice], float]:
    """Return a pixel's distance to the region's end, px, and the window that it may change.

    The image's border is no end. Where the region fills the image the distance is that to the
    farthest corner.
    """
    rows, cols = np.nonzero(~region)
    if len(rows):
        distance = float(np.sqrt(((rows - row) ** 2 + (cols - col) ** 2).min()))
    else:
        distance = float(np.hypot(*region.shape))
    reach = int(np.ceil(max(REACH * distance, LEAST_REACH)))
    window = tuple(
        slice(max(at - reach, 0), min(at + reach + 1, size))
        for at, size in zip((row, col), region.shape, strict=True)
    )
    return (window[0], window[1]), distance


def logits_of(
    mask: NDArray[np.bool_], model: LoadedModel, embedding: Embedding
) -> NDArray[np.float32]:
    """Turn a mask, bool of shape (H, W), into logits that a click can refine.

    Its share of each low-resolution pixel becomes a logit of at most 10 either way, for pocket of
    its own softness; padding is background.
    """
    import torch
    from torch.nn import functional as F

    side = int(model.sam.image_encoder.img_size)
    rows, cols = model.sam.prompt_encoder.mask_input_size
    level = float(getattr(model.sam.prompt_encoder, "mask_softness", 10.0))
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
