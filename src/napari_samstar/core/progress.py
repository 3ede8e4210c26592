"""What long work in `core` yields, and the one way to run it to its end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


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


def run(work: Generator[Any, Any, T], on_step: Callable[[Any], None] | None = None) -> T:
    """Run a generator to its end and return what it returns.

    Parameters
    ----------
    work : generator
        It is closed at the end, also where `on_step` raises.
    on_step : callable, optional
        Called with everything that it yields, `Progress` included.
    """
    try:
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                found: T = end.value
                return found
            if on_step is not None:
                on_step(step)
    finally:
        work.close()
