"""Memory: refuses work whose results would not fit, and gives back what is not used."""

from __future__ import annotations

import ctypes
import sys

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


def release_memory() -> None:
    """Return unused memory to the system, as far as possible.

    glibc keeps freed blocks for later use; after many masks they are hundreds of megabytes.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if malloc_trim is not None:
            malloc_trim(0)
