"""One learning step of the mask decoder, on a private copy that nobody predicts with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from napari_samstar.core.adaptation.losses import mask_loss, rank_loss

if TYPE_CHECKING:
    from napari_samstar.core.adaptation.target_masks import TargetMask
    from napari_samstar.core.adaptation.weights import WeightDelta
    from napari_samstar.core.models.backend import EncodedPrompt, LoadedModel

SINGLE = slice(0, 1)
SEVERAL = slice(1, None)
"""Which of a decoder's four masks SAM uses for a prompt: the single one, or the three."""


@dataclass(frozen=True, eq=False)
class TrainingTarget:
    """A prompt, and what the decoder should have answered.

    Attributes
    ----------
    prompt : EncodedPrompt
    several : bool
        Whether SAM answers it with three masks.
    target : TargetMask
    weight : float
    """

    prompt: EncodedPrompt
    several: bool
    target: TargetMask
    weight: float = 1.0


class DecoderTrainer:
    """A decoder that learns, apart from those that predict.

    Parameters
    ----------
    model : LoadedModel
        The original; its weights are read, never written.
    learned : WeightDelta
        Where learning starts; copied.
    rate : float
        Adam's.
    pull : float
        After each step the weights go back this share of the way to the original ones (L2-SP,
        decoupled from the gradient as in AdamW).
    """

    def __init__(self, model: LoadedModel, learned: WeightDelta, rate: float, pull: float) -> None:
        self._module = model.backend.copy_of_decoder()
        self._original = model.backend.decoder_weights()
        self._logit_scale = model.backend.logit_scale
        self._pull = pull
        self._learned = learned.detached()
        for tensor in self._learned.tensors.values():
            tensor.requires_grad_(True)
        self._optimiser = torch.optim.Adam(
            list(self._learned.tensors.values()), lr=rate, betas=(0.9, 0.99)
        )

    def learned(self) -> WeightDelta:
        """Return a copy of what was learned so far."""
        return self._learned.detached()

    def step(self, training_targets: Sequence[TrainingTarget]) -> float:
        """Take one step on the mean loss of all lessons and return that loss."""
        self._optimiser.zero_grad(set_to_none=True)
        total, weight = 0.0, sum(training_target.weight for training_target in training_targets)
        for training_target in training_targets:  # one after another: the memory of one prompt
            loss = self._loss(training_target) * (training_target.weight / weight)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if not np.isfinite(total):
            return total  # a step on it would destroy the weights
        parameters = list(self._learned.tensors.values())
        nn.utils.clip_grad_norm_(parameters, 1.0)
        self._optimiser.step()
        self._pull_back()
        return total

    def _loss(self, training_target: TrainingTarget) -> Tensor:
        values = self._learned.applied(self._original)
        named = {f"decoder.{name}": value for name, value in values.items()}
        masks, quality = functional_call(self._module, named, (training_target.prompt,))
        soft = masks / self._logit_scale
        loss = mask_loss(soft[SINGLE], training_target.target)[0]
        if training_target.several:
            each = mask_loss(soft[SEVERAL], training_target.target)
            loss = (
                loss
                + each.min()
                + rank_loss(quality[SEVERAL], masks[SEVERAL], training_target.target)
            )
        return loss

    @torch.no_grad()
    def _pull_back(self) -> None:
        for name, tensor in self._learned.tensors.items():
            if self._learned.kind == "decoder":
                tensor.lerp_(self._original[name], self._pull)
            elif name.endswith(".up"):  # the change is up @ down
                tensor.mul_(1 - self._pull)
