"""What tifffile says of a file that is not quite in order."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence


class _Collector(logging.Filter):
    """Keeps the warnings of the thread that made it, and stops them from going anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record goes on to the handlers: that of another thread."""
        if record.thread != self._thread:
            return True
        self.said.append(record.getMessage())
        return False


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Collect tifffile's warnings, which would go to the terminal."""
    logger, collector = logging.getLogger("tifffile"), _Collector()
    logger.addFilter(collector)
    try:
        yield collector.said
    finally:
        logger.removeFilter(collector)


def remark(said: Sequence[str]) -> tuple[str, ...]:
    """Return a note for the first thing that is not in order in a file."""
    if not said:
        return ()
    reason = said[0].rpartition("> ")[2].strip()[:160]
    return (f"The file is not quite in order ({reason}): check that the image is right.",)
