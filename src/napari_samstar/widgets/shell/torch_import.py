"""Import of torch into a process that already draws with OpenGL, without freezing the window."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from pathlib import Path

from napari_samstar.widgets.shell.importing import import_in_background

LIBRARIES = ("libtorch_cpu.so", "libtorch_python.so")
"""Torch's large libraries, in the order in which they must be loaded."""

MODULES = (
    "torch",
    "torchvision",
    "segment_anything",
    "pandas",
    "napari_samstar.api.pipeline",
    "napari_samstar.core.amg.explain",
    "napari_samstar.core.masks.compare",
    "napari_samstar.core.tuning.cost",
)
"""Imported in the background because the panels import them when they are first used."""

_lock = threading.Lock()
_imported: threading.Event | None = None


def start_torch() -> threading.Event:
    """Import torch and what depends on it on the import thread, once.

    An import cannot be interrupted, so a job that can be stopped waits for the event in small
    steps. If an import fails, a normal import of the same module raises the error.

    Returns
    -------
    threading.Event
        Set when the imports are done.
    """
    global _imported
    with _lock:
        if _imported is None:
            _imported = import_in_background(MODULES, first=prepare_torch_import)
        return _imported


def prepare_torch_import() -> None:
    """Prepare an import of torch: no Triton where it would crash, and threads that sleep.

    By default torch's threads spin while they wait for each other. On a machine with other work,
    such as drawing this window, that made SAM four times slower; so they are set to sleep.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    block_triton()
    if "torch" not in sys.modules:
        _load_libraries()


def block_triton() -> None:
    """Prevent imports of Triton if Mesa has loaded its LLVM; call it before any import of torch.

    torchvision imports torch's compiler, which imports Triton. Triton's own copy of LLVM crashes
    the process (segmentation fault, no exception) if Mesa's libLLVM is loaded: software OpenGL and
    AMD's drivers on Linux. Without Triton only `torch.compile` on GPUs is missing.
    """
    if "triton" not in sys.modules and _mesa_llvm_is_loaded():
        sys.modules["triton"] = None  # type: ignore[assignment]  # import then raises ImportError


def _load_libraries() -> None:
    """Load torch's largest libraries without holding the interpreter lock.

    `import` holds the lock, and so blocks the GUI thread, while the system reads hundreds of
    megabytes; a call of the C function `dlopen` does not. The import then finds them loaded.
    """
    spec = importlib.util.find_spec("torch")
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    for path in (Path(folder) / "lib" / name for folder in folders for name in LIBRARIES):
        if sys.platform == "linux" and path.exists():
            dlopen = ctypes.CDLL(None).dlopen
            dlopen.restype, dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
            dlopen(os.fsencode(path), os.RTLD_LAZY)


def _mesa_llvm_is_loaded() -> bool:
    maps = Path("/proc/self/maps")
    return sys.platform == "linux" and maps.exists() and "libLLVM" in maps.read_text()
