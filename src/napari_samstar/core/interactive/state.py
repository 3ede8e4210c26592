"""One state of a click session, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.interactive.clicks import ClickPrompt, Prediction

if TYPE_CHECKING:
    from napari_samstar.core.interactive.contour_fit import Candidate, ClickConstraint


@dataclass(frozen=True)
class Memory:
    """What a click session knows besides its mask.

    Attributes
    ----------
    constraints : tuple of ClickConstraint
        One per click, after those that a mask to refine implies.
    candidates : tuple of Candidate
        All masks that SAM answered so far.
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
        None before anything was asked.
    previous : ndarray of float32, shape (h, w), optional
        The mask prompt that went in.
    memory : Memory
        What later corrections go by.
    """

    prompt: ClickPrompt = field(default_factory=ClickPrompt)
    prediction: Prediction | None = None
    previous: NDArray[np.float32] | None = None
    memory: Memory = field(default_factory=Memory)
