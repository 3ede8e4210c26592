"""napari's workers, quiet where the program ends before they do."""

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
    """Return a worker that will call `work` on a thread; connect to it, then `start` it."""
    kind = _Steps if inspect.isgeneratorfunction(work) else _Once
    return create_worker(work, *arguments, _start_thread=False, _worker_class=kind)


class _Quiet:
    """What a worker has to tell is lost with the window; a traceback would help nobody."""

    signals: Any

    def run(self) -> None:
        """Work."""
        block_triton()  # a panel may start this worker before any has imported torch
        try:
            super().run()  # type: ignore[misc]
        except RuntimeError:
            if isalive(self.signals):
                raise
            log.debug("the program ended before a worker did")


class _Once(_Quiet, FunctionWorker):
    pass


class _Steps(_Quiet, GeneratorWorker):
    """Ends its generator on the thread that ran it, also where it was told to quit in between.

    Left to the garbage collector, files would close and settings be put back later, on the
    window's thread.
    """

    def __init__(self, work: Callable[..., Generator[Any, Any, Any]], *arguments: Any) -> None:
        self._steps = work(*arguments)
        super().__init__(_all_of, self._steps)

    def work(self) -> Any:
        """Take the steps."""
        try:
            return super().work()
        finally:
            self._steps.close()


def _all_of(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    return (yield from steps)
