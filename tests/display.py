"""A virtual X display for the windows of one test process."""

from __future__ import annotations

import os
import shutil
import subprocess

SCREEN = "1920x1200x24"

_servers: list[subprocess.Popen[bytes]] = []  # referenced, or Python warns that they still run


def needs_virtual_display() -> bool:
    """Return whether this process must start a display of its own.

    Always in a worker of pytest-xdist, because windows on one display take the focus from each
    other. Otherwise only where QT_QPA_PLATFORM is not set: `QT_QPA_PLATFORM=xcb pytest ...` shows
    the windows on the current display.
    """
    if shutil.which("Xvfb") is None:
        return False
    return "PYTEST_XDIST_WORKER" in os.environ or "QT_QPA_PLATFORM" not in os.environ


def start_virtual_display() -> dict[str, str]:
    """Start an X server, and return the environment variables that make Qt use it.

    It ends with its last client, so that nothing is left of it after a crash of this process.
    Stopped earlier, it would take the process with it: Qt exits where its display is lost.
    """
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", SCREEN, "-nolisten", "tcp",
         "-terminate", "+extension", "GLX"],
        pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _servers.append(server)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()  # chosen by the server; waits until it accepts clients
    if not number:
        raise RuntimeError(f"Xvfb ended with exit status {server.wait()}")
    return {"DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}
