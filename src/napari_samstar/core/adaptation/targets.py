"""Training targets made of clicks and accepted objects, and the settings of adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.adaptation.target_masks import (
    LowResFrame,
    TargetMask,
    click_target,
    mask_target,
)
from napari_samstar.core.adaptation.trainer import TrainingTarget
from napari_samstar.core.interactive.clicks import Click, ClickPrompt
from napari_samstar.core.interactive.next_click import interior_distance, next_click
from napari_samstar.core.interactive.prompt_encoding import encode_prompt, is_multimask
from napari_samstar.core.interactive.state import ClickState

if TYPE_CHECKING:
    from napari_samstar.core.adaptation.weights import Kind
    from napari_samstar.core.models.backend import Embedding, LoadedModel


@dataclass(frozen=True)
class AdaptSettings:
    """Settings of adaptation; the defaults were chosen on data that is not reported.

    Attributes
    ----------
    kind : {"decoder", "low-rank"}
        Train all weights of the decoder, or low-rank pairs in its attention.
    rank : int
        Of the low-rank pairs.
    click_steps, object_steps : int
        Training steps after each click from the second on, and after each accepted object.
    click_learning_rate, object_learning_rate : float
        Of Adam.
    consistency : float
        Weight of a second target after a click: the prompt without the newest click should give
        the same mask. 0 leaves it out.
    click_radius : float
        Of a click's disc in the target mask, low-resolution px.
    erosion : int
        Of object and background in a target mask, low-resolution px.
    replay : int
        Earlier objects that each step on a new one repeats.
    l2_sp : float
        Share of the way back to the original weights after each step.
    rollback : bool
        Whether an update is undone where earlier objects get worse.
    tolerance : float
        IoU that earlier objects may lose on average; a single one may lose three times that.
    n_checked : int
        Earlier objects that are predicted again after an update, at most; also the number of
        latest objects over which `Adaptation.gain` is averaged.
    validate : bool
        Whether adapted weights predict first clicks only while they do so better than the original.
    seed : int
    """

    kind: Kind = "decoder"
    rank: int = 4
    click_steps: int = 0
    click_learning_rate: float = 1e-4
    object_steps: int = 6
    object_learning_rate: float = 1e-4
    consistency: float = 0.0
    click_radius: float = 2.0
    erosion: int = 1
    replay: int = 2
    l2_sp: float = 0.01
    rollback: bool = True
    tolerance: float = 0.02
    n_checked: int = 8
    validate: bool = True
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Example:
    """An accepted object: its image, its clicks and its mask.

    Attributes
    ----------
    embedding : Embedding
        Of the object's own image.
    states : tuple of ClickState
        Of its click session.
    mask : ndarray of bool, shape (H, W)
    """

    embedding: Embedding
    states: tuple[ClickState, ...]
    mask: NDArray[np.bool_]

    @classmethod
    def from_mask(cls, embedding: Embedding, mask: NDArray[np.bool_]) -> Example:
        """Return an example without clicks, as if the mask's deepest pixel had been clicked."""
        click = next_click(mask)
        prompt = ClickPrompt(() if click is None else (click,))
        return cls(embedding, (ClickState(prompt),), mask)


@dataclass(frozen=True, eq=False)
class TargetBuilder:
    """Makes training targets for the decoder of `original`; random choices come from `rng`."""

    original: LoadedModel
    settings: AdaptSettings
    rng: np.random.Generator

    def from_clicks(
        self, embedding: Embedding, states: tuple[ClickState, ...]
    ) -> list[TrainingTarget]:
        """Return the targets of the clicks so far: the current mask with all clicks drawn in."""
        state, settings = states[-1], self.settings
        assert state.prediction is not None
        frame = LowResFrame.from_embedding(self.original, embedding)
        target = mask_target(state.prediction.mask, frame, settings.erosion)
        discs = click_target(state.prompt.clicks, frame, settings.click_radius)
        target[discs >= 0] = discs[discs >= 0]
        target = target.to(self.original.device)
        targets = [self._target(embedding, state, target)]
        if settings.consistency and len(states) > 1:
            targets.append(self._target(embedding, states[-2], target, settings.consistency))
        return targets

    def from_object(self, example: Example, earlier: tuple[Example, ...]) -> list[TrainingTarget]:
        """Return the targets of an accepted object and of some `earlier` ones (replay)."""
        count = min(self.settings.replay, len(earlier))
        picks = self.rng.permutation(len(earlier))[:count]
        targets = self._from_example(example)
        for k in picks:
            targets += self._from_example(earlier[k])[:1]
        return targets

    def _from_example(self, example: Example) -> list[TrainingTarget]:
        """Return targets for a random first click and for a random later state of the session."""
        frame = LowResFrame.from_embedding(self.original, example.embedding)
        target = mask_target(example.mask, frame, self.settings.erosion).to(self.original.device)
        states = [ClickState(ClickPrompt((self._random_click(example.mask),)))]
        later = [s for s in example.states if not is_multimask(s.prompt, s.mask_prompt)]
        if later:
            states.append(later[int(self.rng.integers(len(later)))])
        return [self._target(example.embedding, s, target) for s in states]

    def _target(
        self, embedding: Embedding, state: ClickState, target: TargetMask, weight: float = 1.0
    ) -> TrainingTarget:
        encoded = encode_prompt(self.original, embedding, state)
        return TrainingTarget(
            encoded, is_multimask(state.prompt, state.mask_prompt), target, weight
        )

    def _random_click(self, mask: NDArray[np.bool_]) -> Click:
        """Return a click on a random pixel of the inner half of a mask."""
        depth = interior_distance(mask)
        rows, cols = np.nonzero(depth >= depth.max() / 2)
        k = int(self.rng.integers(len(rows)))
        return Click(int(rows[k]), int(cols[k]))
