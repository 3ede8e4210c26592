"""What every family of models does with its weights."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from napari_samstar.core.errors import UserError

M = TypeVar("M", bound=nn.Module)


def is_finite(value: Tensor) -> bool:
    """Return whether all values are finite."""
    # A sum is far quicker and not finite if any term is not; only an overflow needs the long way.
    return bool(torch.isfinite(value.sum())) or bool(torch.isfinite(value).all())


def placed(network: M, device: torch.device) -> M:
    """Return a network after moving it to a device.

    Raises
    ------
    UserError
        Where it does not fit in the device's memory.
    """
    try:
        return network.to(device)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"The model does not fit in the memory of {device}: close what else uses it, "
            "choose a smaller model, or device 'cpu'."
        ) from error
