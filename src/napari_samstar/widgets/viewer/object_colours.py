"""Colours of objects: the same object keeps its colour when settings change.

All are light and saturated, so that they are seen on dark and on bright images alike.
"""

from __future__ import annotations

import numpy as np
from napari.utils import CyclicLabelColormap, DirectLabelColormap
from numpy.typing import NDArray

PALETTE = (
    "#ff6b5e", "#3fb6f0", "#63d471", "#ffc24b", "#c77dff", "#2ed1c0", "#ff7fbf", "#b5d33d",
    "#7a9bff", "#ff9f6e", "#5ce0a8", "#f2d94e", "#e38cf0", "#49d6e8", "#ff8f8f", "#9be15d",
)  # fmt: skip

MOST_KEYED = 20_000
"""Above it colours follow the labels: a table of more colours would take long to send."""


def _rgba(colour: str) -> NDArray[np.float32]:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return np.array([*parts, 1.0], dtype=np.float32)


_COLOURS = np.array([_rgba(colour) for colour in PALETTE])
_NOTHING = np.zeros(4, dtype=np.float32)


def by_label() -> CyclicLabelColormap:
    """Return the colours of labels that no mask is known of."""
    return CyclicLabelColormap(colors=np.concatenate([_NOTHING[None], _COLOURS]), seed=0.5)


def by_key(keys: NDArray[np.int64]) -> CyclicLabelColormap | DirectLabelColormap:
    """Return the colours of labels 1 to n, given the mask of each, int64 of shape (n,).

    Labels above n, which the user paints, are yellow.
    """
    if len(keys) > MOST_KEYED:
        return by_label()
    # A multiplication mixes ids that lie close together, as those of neighbours do.
    chosen = (keys.astype(np.uint64) * np.uint64(2654435761) >> np.uint64(7)) % len(PALETTE)
    table: dict[int | None, NDArray[np.float32]] = dict(
        enumerate(_COLOURS[chosen.astype(int)], start=1)
    )
    return DirectLabelColormap(color_dict={None: _rgba("#ffe14d"), 0: _NOTHING, **table})
