"""Triton stays out of a process that draws with Mesa's LLVM."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes.util, ctypes, glob, sys
from napari_samstar.widgets._torch import make_torch_safe
make_torch_safe()
assert "triton" not in sys.modules
libraries = sorted(glob.glob("/usr/lib/*/libLLVM*.so*"))
if not libraries:
    print("no LLVM"); sys.exit()
ctypes.CDLL(libraries[-1])
make_torch_safe()
import torch, torchvision
assert sys.modules["triton"] is None
print("fine", torch.zeros(2).sum().item())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Mesa and Triton meet on Linux only")
def test_torchvision_loads_beside_mesas_llvm() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "no LLVM" in done.stdout:
        pytest.skip("this machine has no libLLVM, so the clash cannot happen on it")
    assert "fine" in done.stdout


STALLS = """
import gc, sys, time
from napari_samstar.widgets._torch import start_torch
longest, last = 0.0, time.process_time()
thread = start_torch()
assert start_torch() is thread
while thread.is_alive():
    time.sleep(0.002)
    now = time.process_time()
    longest, last = max(longest, now - last), now
assert "napari_samstar.core.workflow" in sys.modules
assert gc.isenabled() and gc.get_freeze_count() == 0
print(longest)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system maps libraries itself")
def test_the_import_of_torch_lets_other_threads_work() -> None:
    """Processor time, not time: what passes while the others wait for the interpreter lock."""
    done = subprocess.run([sys.executable, "-c", STALLS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.1
