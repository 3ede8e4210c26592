"""One learning step of the mask decoder, on a private copy that nobody predicts with."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from napari_samstar.core.adapt_losses import Target, mask_loss, rank_loss

if TYPE_CHECKING:
    from napari_samstar.core.adapters import Learned
    from napari_samstar.core.click_session import Step
    from napari_samstar.core.encoder import Embedding
    from napari_samstar.core.models import LoadedModel

SINGLE = slice(0, 1)
SEVERAL = slice(1, None)
"""Which of a decoder's four masks SAM uses for a prompt: the single one, or the three."""


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt as the mask decoder gets it; no gradient flows into it.

    Attributes
    ----------
    features, position, sparse, dense : Tensor
        The decoder's inputs.
    several : bool
        Whether SAM answers it with three masks.
    """

    features: Tensor
    position: Tensor
    sparse: Tensor
    dense: Tensor
    several: bool


@dataclass(frozen=True, eq=False)
class Lesson:
    """A prompt, and what the decoder should have answered."""

    asked: Asked
    target: Target
    weight: float = 1.0


@torch.no_grad()
def ask(model: LoadedModel, embedding: Embedding, step: Step) -> Asked:
    """Encode the prompt of a click session's state as `SamPredictor` does."""
    sam, transform = model.sam, embedding.predictor(model).transform
    prompt, device = step.prompt, model.device
    points = box = previous = None
    if prompt.clicks:
        xy = np.array([(c.col, c.row) for c in prompt.clicks], dtype=float)
        xy = transform.apply_coords(xy, embedding.original_size)
        labels = torch.tensor([[int(c.positive) for c in prompt.clicks]], dtype=torch.int)
        points = (torch.as_tensor(xy, dtype=torch.float)[None].to(device), labels.to(device))
    if prompt.box is not None:
        b = prompt.box
        corners = np.array([[b.col0, b.row0, b.col1, b.row1]], dtype=float)
        corners = transform.apply_boxes(corners, embedding.original_size)
        box = torch.as_tensor(corners, dtype=torch.float, device=device)
    if step.previous is not None:
        previous = torch.as_tensor(step.previous, device=device)[None, None]
    sparse, dense = sam.prompt_encoder(points=points, boxes=box, masks=previous)
    position = sam.prompt_encoder.get_dense_pe()
    several = prompt.first and previous is None
    return Asked(embedding.features, position, sparse, dense, several)


class _AllMasks(nn.Module):
    """`predict_masks` as `forward`, which `functional_call` needs."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, asked: Asked) -> tuple[Tensor, Tensor]:
        masks, quality = self.decoder.predict_masks(  # type: ignore[operator]
            asked.features, asked.position, asked.sparse, asked.dense
        )
        return masks[0], quality[0]


class Workbench:
    """A decoder that learns, apart from those that predict.

    Parameters
    ----------
    model : LoadedModel
        The original; its weights are read, never written.
    learned : Learned
        Where learning starts; copied.
    rate : float
        Adam's.
    pull : float
        After each step the weights go back this share of the way to the original ones (L2-SP,
        decoupled from the gradient as in AdamW).
    """

    def __init__(self, model: LoadedModel, learned: Learned, rate: float, pull: float) -> None:
        self._module = _AllMasks(copy.deepcopy(model.sam.mask_decoder))
        self._original = dict(self._module.decoder.named_parameters())
        self._softness = softness(model)
        self._pull = pull
        self._learned = learned.detached()
        for tensor in self._learned.tensors.values():
            tensor.requires_grad_(True)
        self._optimiser = torch.optim.Adam(
            list(self._learned.tensors.values()), lr=rate, betas=(0.9, 0.99)
        )

    def learned(self) -> Learned:
        """Return a copy of what was learned so far."""
        return self._learned.detached()

    def step(self, lessons: Sequence[Lesson]) -> float:
        """Take one step on the mean loss of all lessons and return that loss."""
        self._optimiser.zero_grad(set_to_none=True)
        total, weight = 0.0, sum(lesson.weight for lesson in lessons)
        for lesson in lessons:  # one after another: the memory of one prompt
            loss = self._loss(lesson) * (lesson.weight / weight)
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        if not np.isfinite(total):
            return total  # a step on it would destroy the weights
        parameters = list(self._learned.tensors.values())
        nn.utils.clip_grad_norm_(parameters, 1.0)
        self._optimiser.step()
        self._pull_back()
        return total

    def _loss(self, lesson: Lesson) -> Tensor:
        values = self._learned.applied(self._original)
        named = {f"decoder.{name}": value for name, value in values.items()}
        masks, quality = functional_call(self._module, named, (lesson.asked,))
        soft = masks / self._softness
        loss = mask_loss(soft[SINGLE], lesson.target)[0]
        if lesson.asked.several:
            each = mask_loss(soft[SEVERAL], lesson.target)
            loss = loss + each.min() + rank_loss(quality[SEVERAL], masks[SEVERAL], lesson.target)
        return loss

    @torch.no_grad()
    def _pull_back(self) -> None:
        for name, tensor in self._learned.tensors.items():
            if self._learned.kind == "decoder":
                tensor.lerp_(self._original[name], self._pull)
            elif name.endswith(".up"):  # the change is up @ down
                tensor.mul_(1 - self._pull)


def softness(model: LoadedModel) -> float:
    """Return by what to divide logits so that losses see them as they were trained.

    pocket's are multiplied afterwards, in its calibration; Meta's are not.
    """
    return float(getattr(model.sam.prompt_encoder, "mask_softness", 4.0)) / 4.0
