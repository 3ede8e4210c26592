"""Training steps of a private copy of the mask decoder."""

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
MULTIMASK = slice(1, None)
"""Which of the decoder's four masks SAM uses: the first one, or the three others."""


@dataclass(frozen=True, eq=False)
class TrainingTarget:
    """A prompt, and the mask that the decoder should predict for it.

    Attributes
    ----------
    prompt : EncodedPrompt
    multimask : bool
        Whether SAM predicts three masks for this prompt.
    target : TargetMask
    weight : float
    """

    prompt: EncodedPrompt
    multimask: bool
    target: TargetMask
    weight: float = 1.0


class DecoderTrainer:
    """Trains a copy of the mask decoder; models in use are not affected.

    Parameters
    ----------
    model : LoadedModel
        The original; its weights are read, never written.
    delta : WeightDelta
        Where training starts; copied.
    learning_rate : float
        Of Adam.
    l2_sp : float
        Share of the way back to the original weights after each step (L2-SP, decoupled from the
        gradient as in AdamW).
    """

    def __init__(
        self, model: LoadedModel, delta: WeightDelta, learning_rate: float, l2_sp: float
    ) -> None:
        self._decoder = model.backend.copy_of_decoder()
        self._original = model.backend.decoder_weights()
        self._logit_scale = model.backend.logit_scale
        self._l2_sp = l2_sp
        self._delta = delta.detached()
        for tensor in self._delta.tensors.values():
            tensor.requires_grad_(True)
        self._optimiser = torch.optim.Adam(
            list(self._delta.tensors.values()), lr=learning_rate, betas=(0.9, 0.99)
        )

    def delta(self) -> WeightDelta:
        """Return a copy of the weights learned so far."""
        return self._delta.detached()

    def step(self, targets: Sequence[TrainingTarget]) -> float:
        """Take one step on the weighted mean loss of the targets and return that loss.

        A loss that is not finite changes nothing.
        """
        self._optimiser.zero_grad(set_to_none=True)
        total, total_weight = 0.0, sum(t.weight for t in targets)
        # One prompt after the other, to save memory
        for target in targets:
            loss = self._loss(target) * (target.weight / total_weight)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if not np.isfinite(total):
            return total
        nn.utils.clip_grad_norm_(list(self._delta.tensors.values()), 1.0)
        self._optimiser.step()
        self._pull_towards_original()
        return total

    def _loss(self, target: TrainingTarget) -> Tensor:
        weights = self._delta.applied(self._original)
        named = {f"decoder.{name}": value for name, value in weights.items()}
        logits, predicted_iou = functional_call(self._decoder, named, (target.prompt,))
        scaled = logits / self._logit_scale
        loss = mask_loss(scaled[SINGLE], target.target)[0]
        if not target.multimask:
            return loss
        # Only the best of the three masks is trained
        best = mask_loss(scaled[MULTIMASK], target.target).min()
        rank = rank_loss(predicted_iou[MULTIMASK], logits[MULTIMASK], target.target)
        return loss + best + rank

    @torch.no_grad()
    def _pull_towards_original(self) -> None:
        for name, tensor in self._delta.tensors.items():
            if self._delta.kind == "decoder":
                tensor.lerp_(self._original[name], self._l2_sp)
            elif name.endswith(".up"):  # the change of a weight is up @ down
                tensor.mul_(1 - self._l2_sp)
