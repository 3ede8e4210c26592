"""Refuses work whose results would not fit in memory, before it starts."""

from __future__ import annotations

import psutil

from napari_samstar.core.errors import UserError

MAX_SHARE = 0.8  # of the free memory; the rest is for what the work itself needs


def check_memory(n_bytes: float, what: str, advice: str) -> None:
    """Raise UserError where `n_bytes` would not fit in the free memory.

    Parameters
    ----------
    what : str
        What needs the memory, as the subject of a sentence.
    advice : str
        What the user can do.
    """
    free = psutil.virtual_memory().available
    if n_bytes > MAX_SHARE * free:
        raise UserError(
            f"{what} would need about {n_bytes / 2**30:.1f} GB of memory and "
            f"{free / 2**30:.1f} GB are free: {advice}."
        )
