"""napari's workers, which stay silent if the program ends before they do."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Generator
from typing import Any

from napari.qt.threading import FunctionWorker, GeneratorWorker, create_worker
from qtpy.compat import isalive

from napari_samstar.widgets.shell.torch_import import block_triton

log = logging.getLogger("napari_samstar")


def make_worker(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return a worker that calls `work` on a thread; connect to its signals, then `start` it."""
    kind = _StepWorker if inspect.isgeneratorfunction(work) else _CallWorker
    return create_worker(work, *arguments, _start_thread=False, _worker_class=kind)


class _SilentWorker:
    """Ignores that its signals were deleted with the window: a traceback would be of no use."""

    signals: Any

    def run(self) -> None:
        """Run the work."""
        block_triton()  # this worker may be the first to import torch
        try:
            super().run()  # type: ignore[misc]
        except RuntimeError:
            if isalive(self.signals):
                raise
            log.debug("the program ended before a worker did")


class _CallWorker(_SilentWorker, FunctionWorker):
    """Calls a function."""


class _StepWorker(_SilentWorker, GeneratorWorker):
    """Runs a generator, and closes it on its own thread, also if it was told to quit in between.

    Otherwise the garbage collector would close it later and on the window's thread, together with
    the files and settings that it holds.
    """

    def __init__(self, work: Callable[..., Generator[Any, Any, Any]], *arguments: Any) -> None:
        self._generator = work(*arguments)
        super().__init__(_delegate, self._generator)

    def work(self) -> Any:
        """Iterate over the generator."""
        try:
            return super().work()
        finally:
            self._generator.close()


def _delegate(generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Turn a generator into a generator function, which napari requires."""
    return (yield from generator)
