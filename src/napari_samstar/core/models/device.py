"""Where the model runs, and why there."""

from __future__ import annotations

import platform
import warnings
from dataclasses import dataclass

import torch

from napari_samstar.core.errors import UserError


@dataclass(frozen=True)
class DeviceChoice:
    """A device and one plain sentence that says why.

    Attributes
    ----------
    device : torch.device
        "cuda:0", "mps", "cpu", ...
    reason : str
        For the status line, such as "CPU: this PyTorch build has no CUDA."
    """

    device: torch.device
    reason: str


def choose_device(requested: str = "auto") -> DeviceChoice:
    """Return the device for "auto", "cuda", "cuda:1", "mps" or "cpu".

    "auto" takes CUDA, else MPS, else the CPU.

    Raises
    ------
    UserError
        When a device is asked for by name and is not there.
    """
    requested = str(requested).lower()
    if requested == "auto":
        return _best()
    if requested == "cpu":
        return DeviceChoice(torch.device("cpu"), "CPU: it was asked for.")
    try:
        device = torch.device(requested)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cuda", "mps"):
        raise UserError(f"There is no device {requested!r}: choose auto, cuda, cuda:1, mps or cpu.")
    missing = _no_mps() if device.type == "mps" else _no_cuda()
    if missing:
        raise UserError(f"Device {requested!r} cannot be used ({missing}): choose 'auto' or 'cpu'.")
    if device.type == "mps":
        return DeviceChoice(device, "MPS: it was asked for.")
    index, count = device.index or 0, torch.cuda.device_count()
    if index >= count:
        raise UserError(
            f"There is no device {requested!r}: the last of {count} is cuda:{count - 1}."
        )
    return _cuda(index)


NO_MEMORY = ("unable to find an engine", "STATUS_ALLOC_FAILED", "out of memory")
"""What libraries below PyTorch say where their workspace does not fit."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error of a computation means that the device's memory did not suffice."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(text in str(error) for text in NO_MEMORY)


def free_memory(device: torch.device) -> None:
    """Give the device what PyTorch keeps of its memory without using it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _best() -> DeviceChoice:
    no_cuda = _no_cuda()
    if not no_cuda:
        return _cuda(0)
    no_mps = _no_mps()
    if not no_mps:
        return DeviceChoice(torch.device("mps"), "MPS: the Mac's own graphics processor.")
    why = no_mps if platform.system() == "Darwin" else no_cuda
    return DeviceChoice(torch.device("cpu"), f"CPU: {why}.")


def _cuda(index: int) -> DeviceChoice:
    about = torch.cuda.get_device_properties(index)
    memory = about.total_memory / 2**30
    return DeviceChoice(
        torch.device("cuda", index), f"CUDA: {about.name} with {memory:.0f} GiB of memory."
    )


def _no_cuda() -> str:
    """Return why CUDA cannot be used, or an empty string."""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this PyTorch build has no CUDA"
    with warnings.catch_warnings(record=True) as caught:  # an old driver is only warned about
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if available:
        return ""
    if caught:
        return "PyTorch cannot use the graphics driver, which may be too old"
    return "PyTorch found no NVIDIA graphics processor"


def _no_mps() -> str:
    """Return why MPS cannot be used, or an empty string."""
    if not torch.backends.mps.is_built():
        return "this PyTorch build has no MPS"
    return "" if torch.backends.mps.is_available() else "this Mac has no MPS"
