"""A model for one image: where the GPU's memory does not suffice, its copy on the CPU."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel

ON_CPU = "The GPU had too little memory for this image, so the CPU computed it in float32."


def on_cpu(model: LoadedModel) -> LoadedModel:
    """Return the model in float32 on the CPU.

    Raises
    ------
    UserError
        Where it is there already, or its family cannot move it.
    """
    move = getattr(model.backend, "on_cpu", None)
    if move is None or model.device_reason == ON_CPU:
        raise UserError(
            "The GPU has too little memory for even one prompt: "
            "choose a smaller model, or the CPU as device."
        )
    return dataclasses.replace(
        model,
        backend=move(),
        device=torch.device("cpu"),
        device_reason=ON_CPU,
        precision="reference",
    )
