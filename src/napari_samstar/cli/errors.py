"""One line for every error, and the exit code that goes with it."""

from __future__ import annotations

import _thread
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from napari_samstar.core.errors import UserError

FAILED, INTERRUPTED = 1, 130

log = logging.getLogger("napari_samstar")


class OneLineErrors(TyperGroup):
    """A command group whose errors are one line on stderr; the log has the rest.

    Exit codes: 1 for an error, 130 for Ctrl-C; typer itself gives 2 for wrong usage.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with _noting_interrupts():
                return super().invoke(ctx)
        except UserError as error:
            log.debug("The command failed.", exc_info=True)
            complain(str(error))
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as error:
            complain("Stopped: nothing unfinished was left behind.", kind="")
            raise typer.Exit(INTERRUPTED) from error
        except MemoryError as error:
            log.debug("Out of memory.", exc_info=True)
            complain("Not enough memory: take a smaller image or fewer points per side.")
            raise typer.Exit(FAILED) from error
        except (typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if hasattr(error, "exit_code"):  # typer's own: wrong usage, --help, a chosen exit
                raise
            log.debug("This should not have happened.", exc_info=True)
            kind = type(error).__name__
            complain(f"{kind}: {error}. This is a defect: report it with what --verbose says.")
            raise typer.Exit(FAILED) from error


_interrupted = threading.Event()


def check_interrupted() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed, also where a library swallowed it.

    Some libraries import their parts under a bare `except`.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt


@contextlib.contextmanager
def _noting_interrupts() -> Iterator[None]:
    """Note Ctrl-C, and press it again where Python could not pass it on.

    An exception cannot leave a `__del__` or a weak reference's callback: Python writes it to
    stderr and goes on.
    """
    running = threading.Event()

    def note(signum: int, frame: FrameType | None) -> None:
        _interrupted.set()
        signal.default_int_handler(signum, frame)

    def press_again() -> None:
        if not running.is_set():
            return
        if sys.platform == "win32":
            _thread.interrupt_main()
        else:  # a real signal wakes a main thread that waits, too
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def unraisable(what: sys.UnraisableHookArgs) -> None:
        if what.exc_type is KeyboardInterrupt and running.is_set():
            again = threading.Timer(0.02, press_again)  # after the callback has returned
            again.daemon = True
            again.start()
        else:
            hook_before(what)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _interrupted.clear()
    running.set()
    hook_before, sys.unraisablehook = sys.unraisablehook, unraisable
    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        running.clear()
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = hook_before


def complain(sentence: str, kind: str = "Error: ") -> None:
    """Write one line to stderr."""
    typer.echo(kind + " ".join(sentence.split()), err=True)


def set_verbose(on: bool) -> bool:
    """Send the log to stderr, details of errors included; the callback of --verbose."""
    if on:
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
        log.setLevel(logging.DEBUG)
    return on
