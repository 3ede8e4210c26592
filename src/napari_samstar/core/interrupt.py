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
    """`check` before each torch operation of this thread; results do not depend on it.

    Not only before each module: a single attention over a whole image takes ViT-B 3 s of one core.
    Never where gradients are switched on or off: `no_grad` could not put back what it found.
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
