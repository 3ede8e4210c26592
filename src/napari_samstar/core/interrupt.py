"""Stop a thread in the middle of SAM: one pass of its image encoder takes seconds on a CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_here = threading.local()


class Interrupted(Exception):
    """Whoever watches this thread asked it to stop; nothing of the step is kept."""


@contextmanager
def stoppable(asked: Callable[[], bool]) -> Iterator[None]:
    """Let this thread stop, in the block, as soon as `asked` returns True; it raises Interrupted.

    Outside of such a block nothing is ever interrupted.
    """
    before = getattr(_here, "asked", None)
    _here.asked = asked
    try:
        yield
    finally:
        _here.asked = before


def check() -> None:
    """Raise Interrupted where this thread was asked to stop."""
    asked = getattr(_here, "asked", None)
    if asked is not None and asked():
        raise Interrupted


@contextmanager
def checked() -> Iterator[None]:
    """`check` before each torch module that runs in the block; results do not depend on it."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    handle = register_module_forward_pre_hook(_check)
    try:
        yield
    finally:
        handle.remove()


def _check(*_: Any) -> None:
    check()
