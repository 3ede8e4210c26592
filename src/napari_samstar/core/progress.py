"""Progress of long work: generators in `core` yield it, and `run` runs them to their end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """Progress of long work.

    Attributes
    ----------
    done, total : int
        Number of finished steps, and of all steps.
    text : str
        Description of the work, for a progress bar.
    """

    done: int
    total: int
    text: str


def run(work: Generator[Any, Any, T], on_step: Callable[[Any], None] | None = None) -> T:
    """Run a generator to its end and return its return value.

    Parameters
    ----------
    work : generator
        It is closed at the end, also if `on_step` raises.
    on_step : callable, optional
        Called with each yielded value, `Progress` included.
    """
    try:
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            if on_step is not None:
                on_step(step)
    finally:
        work.close()
