"""Bring torch into a process that already draws with OpenGL."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path


def make_torch_safe() -> None:
    """Keep Triton out where Mesa has loaded its LLVM; call before torch is first imported.

    torchvision imports torch's compiler, which imports Triton, whose own copy of LLVM crashes the
    process (a segmentation fault, no exception) when Mesa's libLLVM is there already: software
    OpenGL and AMD's drivers on Linux. Without Triton torch works as before, except that
    `torch.compile` has no GPU back end.
    """
    if "triton" in sys.modules or not _mesa_llvm_is_loaded():
        return
    sys.modules["triton"] = None  # type: ignore[assignment]  # import then raises ImportError


def _mesa_llvm_is_loaded() -> bool:
    maps = Path("/proc/self/maps")
    return sys.platform == "linux" and maps.exists() and "libLLVM" in maps.read_text()


def trim_memory() -> None:
    """Give memory that is no longer used back to the system, as far as it can be done.

    glibc keeps freed blocks for later; after a bank of masks they are hundreds of megabytes.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
