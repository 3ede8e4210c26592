"""What the axes before rows and columns are: channels, depth, time.

Axes are letters as in TIFF and OME, one for each axis of an array: T time, Z depth, C channel,
Y row, X column, S colours; others are kept as a file names them. They may be unknown.
"""

from __future__ import annotations

CHANNEL = "C"
SAMPLES = "S"
DEPTH = "Z"

UNNAMED = frozenset("QIR")
"""Letters that say no more than that there is an axis."""


def channel_axis(axes: str, n_leading: int) -> int | None:
    """Return which axis before rows and columns holds channels; None where none does.

    It is C, else samples that are no colours; where the file does not say what its axes are, it is
    the last one.

    Parameters
    ----------
    axes : str
        One letter for each axis of the array, or empty.
    n_leading : int
        How many axes there are before rows and columns.
    """
    letters = axes[:n_leading]
    for letter in (CHANNEL, SAMPLES):
        if letter in letters:
            return letters.index(letter)
    last = letters[-1:] if len(letters) == n_leading else ""
    return n_leading - 1 if n_leading and (not last or last in UNNAMED) else None


def named_channel_axis(axes: str, n_leading: int) -> int | None:
    """Return which axis is known to hold channels, by its letter; None where none is."""
    letters = axes[:n_leading]
    return next((letters.index(a) for a in (CHANNEL, SAMPLES) if a in letters), None)


def projected_axis(axes: str, n_leading: int) -> int | None:
    """Return which axis a projection reduces: Z, else the first that holds no channels."""
    letters = axes[:n_leading]
    if DEPTH in letters:
        return letters.index(DEPTH)
    channels = named_channel_axis(axes, n_leading)
    return next((k for k in range(n_leading) if k != channels), None)


def named(axis: int, axes: str) -> str:
    """Return how a sentence names an axis: by number, and by letter where that is known."""
    return f"axis {axis} ({axes[axis]})" if axis < len(axes) else f"axis {axis}"
