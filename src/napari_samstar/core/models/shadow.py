"""A second set of module objects around the same weights.

What is changed in it, such as how attention is computed, does not reach the original.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

Classes = Mapping[type[nn.Module], type[nn.Module]]


def shadow(module: nn.Module, classes: Classes | None = None) -> nn.Module:
    """Return a copy of a module that shares all parameters and buffers.

    Parameters
    ----------
    classes : mapping of class to class, optional
        Modules of exactly these classes get another one, which must be a subclass without
        parameters of its own.
    """
    twin = copy.copy(module)
    twin._modules = {n: m and shadow(m, classes) for n, m in module._modules.items()}
    twin.__class__ = (classes or {}).get(type(module), type(module))
    return twin


def on_device(module: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of a module with its weights on another device; the original stays."""
    twin = copy.copy(module)
    twin._modules = {n: m and on_device(m, device) for n, m in module._modules.items()}
    twin._parameters = {n: _moved(p, device) for n, p in module._parameters.items()}
    twin._buffers = {n: b if b is None else b.to(device) for n, b in module._buffers.items()}
    return twin


def _moved(parameter: Tensor | None, device: torch.device) -> nn.Parameter | None:
    if parameter is None:
        return None
    return nn.Parameter(parameter.detach().to(device), requires_grad=parameter.requires_grad)
