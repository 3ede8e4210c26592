"""Interruption of long work on a thread.

One pass of SAM's image encoder takes seconds on a CPU, too long to wait for its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_thread = threading.local()


class Interrupted(Exception):
    """The owner of this thread has requested a stop; the results of the step are discarded."""


@contextmanager
def stoppable(stop_requested: Callable[[], bool]) -> Iterator[None]:
    """Raise Interrupted inside the block, at the next `check` after `stop_requested` is True.

    It applies to this thread only. Outside of such a block `check` does nothing.
    """
    before = getattr(_thread, "stop_requested", None)
    _thread.stop_requested = stop_requested
    try:
        yield
    finally:
        _thread.stop_requested = before


def check() -> None:
    """Raise Interrupted if a stop of this thread was requested; see `stoppable`."""
    stop_requested = getattr(_thread, "stop_requested", None)
    if stop_requested is not None and stop_requested():
        raise Interrupted


@contextmanager
def checked() -> Iterator[None]:
    """Call `check` before each torch operation of this thread; results do not change.

    A check before each module would not be enough: one attention layer of ViT-B over a whole image
    takes 3 s on one core. There is no check when gradients are switched on or off, because
    `no_grad` could then not restore the previous state.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    switch = torch._C._set_grad_enabled

    class Checked(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is not switch:
                check()
            return func(*args, **(kwargs or {}))

    with Checked():
        yield
