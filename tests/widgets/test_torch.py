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
