"""One state of a click session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.interactive.clicks import ClickPrompt, Prediction

if TYPE_CHECKING:
    from napari_samstar.core.interactive.contour_fit import Candidate, ClickConstraint


@dataclass(frozen=True)
class CorrectionContext:
    """What the next correction takes into account besides the current mask.

    Attributes
    ----------
    constraints : tuple of ClickConstraint
        Those implied by the mask to refine, then one for each click.
    candidates : tuple of Candidate
        All masks that the model predicted so far.
    """

    constraints: tuple[ClickConstraint, ...] = ()
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, eq=False)
class ClickState:
    """One state of a click session.

    Attributes
    ----------
    prompt : ClickPrompt
    prediction : Prediction, optional
        None before the first prompt.
    mask_prompt : ndarray of float32, shape (h, w), optional
        Low-resolution logits that the model got beside the prompt.
    context : CorrectionContext
    """

    prompt: ClickPrompt = field(default_factory=ClickPrompt)
    prediction: Prediction | None = None
    mask_prompt: NDArray[np.float32] | None = None
    context: CorrectionContext = field(default_factory=CorrectionContext)
