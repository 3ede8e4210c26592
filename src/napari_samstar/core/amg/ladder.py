"""The ladder of cut-offs on which the stability of masks is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

OFFSET_STEP = 0.05
"""Step of the ladder on which stability is stored; see `AmgConfig.stability_score_offset`."""

N_OFFSETS = 40
"""Rungs of the stability ladder: OFFSET_STEP, 2 OFFSET_STEP, ..., 2."""


def rungs_around(cut: float) -> NDArray[np.float32]:
    """Return the cut-offs of the stability ladder below and above `cut`, ascending."""
    steps = np.arange(1, N_OFFSETS + 1) * OFFSET_STEP
    return np.concatenate([cut - steps[::-1], cut + steps]).astype(np.float32)


def stability_of(counts: torch.Tensor) -> torch.Tensor:
    """Return the stability scores (N_OFFSETS, n) from counts (n, 2 N_OFFSETS) above each rung.

    Upstream's score at offset t is #(logits > cut + t) / #(logits > cut - t), in its own types.
    """
    high, low = counts[:, N_OFFSETS:], counts[:, :N_OFFSETS].flip(1)
    return (high / low).T.contiguous()
