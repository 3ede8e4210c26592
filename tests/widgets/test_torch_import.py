"""Torch is imported in the background, without Triton if Mesa has loaded its LLVM."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Triton exists on Linux only")


WAITS = """
import sys, threading, time
from napari_samstar.widgets.shell.torch_import import prepare_torch_import

def load():
    if sys.argv[1] == "prepared":
        prepare_torch_import()
    import torch

longest, last = 0.0, time.process_time()
thread = threading.Thread(target=load)
thread.start()
while thread.is_alive():
    time.sleep(0.002)
    now = time.process_time()
    longest, last = max(longest, now - last), now
print(longest)
"""


def longest_wait(how: str) -> float:
    """Return the longest time, s, during which the main thread cannot run.

    In processor time, so that other programs do not count.
    """
    done = subprocess.run([sys.executable, "-c", WAITS, how], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system maps libraries itself")
def test_other_threads_run_while_torch_is_imported() -> None:
    assert longest_wait("prepared") < 0.6 * longest_wait("plain")


START = """
import ctypes, gc, glob, sys, threading
from napari_samstar.widgets.shell.torch_import import MODULES, prepare_torch_import, start_torch
prepare_torch_import()
assert "triton" not in sys.modules, "blocked without need"
libraries = sorted(glob.glob("/usr/lib/*/libLLVM*.so*"))[-1:]
for library in libraries:
    ctypes.CDLL(library)
before = sys.getswitchinterval()
ready = start_torch()
assert start_torch() is ready
ready.wait()
assert set(MODULES) <= set(sys.modules), set(MODULES) - set(sys.modules)
assert not libraries or sys.modules["triton"] is None
for thread in threading.enumerate():
    if thread.name == "samstar-import":
        thread.join()
assert gc.isenabled() and gc.get_freeze_count() == 0
assert sys.getswitchinterval() == before
"""


def test_torch_is_imported_once_without_triton_and_the_garbage_collector_is_restored() -> None:
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


END_EARLY = """
import sys, threading, time
from napari_samstar.widgets.shell.torch_import import start_torch
waiting = threading.Thread(target=start_torch().wait)
waiting.start()
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("seconds", ["0", "0.4", "1.5"])
def test_a_program_can_end_while_torch_is_imported(seconds: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", END_EARLY, seconds], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")


POLICY = """
import os
from napari_samstar.widgets.shell.torch_import import prepare_torch_import
prepare_torch_import()
print(os.environ["OMP_WAIT_POLICY"])
"""


@pytest.mark.parametrize("given", ["", "ACTIVE"])
def test_waiting_threads_of_torch_sleep_unless_the_user_has_set_otherwise(given: str) -> None:
    own = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    env = own | ({"OMP_WAIT_POLICY": given} if given else {})
    done = subprocess.run([sys.executable, "-c", POLICY], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == (given or "PASSIVE"), done.stderr


MEASURE = """
import sys
import numpy as np
from napari_samstar.core.results import export, outputs
from napari_samstar.widgets.viewer import work
planes = np.zeros((1, 20, 30), np.int32)
planes[0, 5:9, 5:12] = 1
table = work.measure(planes, None, None, "px")
assert 28 in table.to_numpy().ravel().tolist(), table
assert "torch" not in sys.modules
"""


def test_measuring_and_exporting_a_layer_need_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


WORKER = """
import ctypes, glob, sys
from qtpy.QtCore import QCoreApplication
from napari_samstar.widgets.jobs.workers import make_worker
app = QCoreApplication([])
libraries = sorted(glob.glob("/usr/lib/*/libLLVM*.so*"))
if not libraries:
    print("no LLVM"); sys.exit()
ctypes.CDLL(libraries[-1])
def load():
    import torchvision
    return "fine"
worker = make_worker(load)
worker.returned.connect(print)
worker.finished.connect(app.quit)
worker.start()
app.exec_() if hasattr(app, "exec_") else app.exec()
"""


@on_linux
def test_a_worker_can_be_the_first_to_import_torch_after_mesas_llvm() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "no LLVM" in done.stdout:
        pytest.skip("this machine has no libLLVM, so the crash cannot happen")
    assert "fine" in done.stdout
