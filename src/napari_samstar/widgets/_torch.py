"""Bring torch into a process that already draws with OpenGL."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path


def make_torch_safe() -> None:
    """Keep Triton out where Mesa has loaded its LLVM; call before torch is first imported.

    torchvision imports torch's compiler, which imports Triton, whose own copy of LLVM crashes the
    process (a segmentation fault, no exception) when Mesa's libLLVM is there already: software
    OpenGL and AMD's drivers on Linux. Without Triton torch works as before, except that
    `torch.compile` has no GPU back end.
    """
    if "triton" not in sys.modules and _mesa_llvm_is_loaded():
        sys.modules["triton"] = None  # type: ignore[assignment]  # import then raises ImportError
    if "torch" not in sys.modules:
        _load_library()


def _load_library() -> None:
    """Map torch's largest library without holding the interpreter lock.

    `import` holds it, and the GUI thread with it, for as long as the system needs for hundreds of
    megabytes; a call of the C function does not. The import then finds the library there.
    """
    found = importlib.util.find_spec("torch")
    folders = (found.submodule_search_locations if found is not None else None) or []
    for folder in folders:
        path = Path(folder) / "lib" / "libtorch_cpu.so"
        if sys.platform == "linux" and path.exists():
            load = ctypes.CDLL(None).dlopen
            load.restype, load.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
            load(os.fsencode(path), os.RTLD_LAZY)


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
