"""What long work in `core` yields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A step of long work.

    Attributes
    ----------
    done, total : int
        Steps finished, and all steps.
    text : str
        What is being done, for a progress bar.
    """

    done: int
    total: int
    text: str
