"""Bring torch into a process that already draws with OpenGL, without a standstill."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from pathlib import Path

from napari_samstar.widgets.shell.importing import import_in_background

LIBRARIES = ("libtorch_cpu.so", "libtorch_python.so")
"""Torch's large libraries, the first one first."""

CORE = (
    "workflow", "select", "search", "tuning", "pareto", "recipe", "rescue", "compare", "journal",
    "labels", "stack", "why", "joint",
)  # fmt: skip
NEEDED = (
    *("torch", "torchvision", "segment_anything", "pandas"),
    *(f"napari_samstar.core.{name}" for name in CORE),
)
"""What the panels import when it is first used: by then it is there."""

_lock = threading.Lock()
_ready: threading.Event | None = None


def start_torch() -> threading.Event:
    """Import torch and what needs it on a thread, once; return what is set when it is there.

    An import cannot be stopped, so a job that may be waits for this one in small steps. What
    fails is raised by the import that needs it.
    """
    global _ready
    with _lock:
        if _ready is None:
            _ready = import_in_background(NEEDED, first=prepare_torch_import)
        return _ready


def prepare_torch_import() -> None:
    """Prepare an import of torch: without Triton where it would crash, threads that sleep.

    Torch's threads are told to sleep while they wait for each other. By default they spin, which
    on a machine that has other work, such as drawing this window, made SAM four times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    block_triton()
    if "torch" not in sys.modules:
        _load_libraries()


def block_triton() -> None:
    """Keep Triton out where Mesa has loaded its LLVM; call before whatever may import torch.

    torchvision imports torch's compiler, which imports Triton, whose own copy of LLVM crashes the
    process (a segmentation fault, no exception) when Mesa's libLLVM is there already: software
    OpenGL and AMD's drivers on Linux. Without Triton torch works as before, except that
    `torch.compile` has no GPU back end.
    """
    if "triton" not in sys.modules and _mesa_llvm_is_loaded():
        sys.modules["triton"] = None  # type: ignore[assignment]  # import then raises ImportError


def _load_libraries() -> None:
    """Map torch's largest libraries without holding the interpreter lock.

    `import` holds it, and the GUI thread with it, for as long as the system needs for hundreds of
    megabytes; a call of the C function does not. The import then finds the libraries there.
    """
    found = importlib.util.find_spec("torch")
    folders = (found.submodule_search_locations if found is not None else None) or []
    for path in (Path(folder) / "lib" / name for folder in folders for name in LIBRARIES):
        if sys.platform == "linux" and path.exists():
            load = ctypes.CDLL(None).dlopen
            load.restype, load.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
            load(os.fsencode(path), os.RTLD_LAZY)


def _mesa_llvm_is_loaded() -> bool:
    maps = Path("/proc/self/maps")
    return sys.platform == "linux" and maps.exists() and "libLLVM" in maps.read_text()


def release_memory() -> None:
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
