"""What the decoder is shown of clicks and of accepted objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.adaptation.target_masks import (
    LowRes,
    TargetMask,
    click_target,
    mask_target,
)
from napari_samstar.core.adaptation.trainer import TrainingTarget
from napari_samstar.core.interactive.clicks import Click, ClickPrompt
from napari_samstar.core.interactive.next_click import depth
from napari_samstar.core.interactive.prompt_encoding import encode_prompt, gives_several
from napari_samstar.core.interactive.state import ClickState

if TYPE_CHECKING:
    from napari_samstar.core.adaptation.weights import Kind
    from napari_samstar.core.models.backend import Embedding, LoadedModel


@dataclass(frozen=True)
class AdaptSettings:
    """How the decoder learns; the defaults were chosen on data that is not reported.

    Attributes
    ----------
    kind : {"decoder", "low-rank"}
        All of the decoder's weights, or low-rank pairs in its attention.
    rank : int
    click_steps, object_steps : int
        After each click from the second on, and after each accepted object; 0 leaves it out.
    click_rate, object_rate : float
        Adam's learning rates.
    consistency : float
        Weight of the lesson "without the newest click, answer what you answer with it".
    radius : float
        Of a click's disc, low-resolution pixels.
    erosion : int
        Of object and background in an accepted mask, low-resolution pixels.
    replay : int
        Earlier objects in each step of a new one.
    pull : float
        Share of the way back to the original weights after each step.
    guard : bool
        Whether earlier objects are checked after an update.
    tolerance : float
        IoU that earlier objects may lose on average before an update is taken back; three times
        that for a single one.
    checked : int
        Earlier objects the guard looks at, at most; the newest and some of the others.
    proof : bool
        Whether first clicks are answered by what was learned only once it has shown to be better.
    seed : int
    """

    kind: Kind = "decoder"
    rank: int = 4
    click_steps: int = 0
    click_rate: float = 1e-4
    object_steps: int = 6
    object_rate: float = 1e-4
    consistency: float = 0.0
    radius: float = 2.0
    erosion: int = 1
    replay: int = 2
    pull: float = 0.01
    guard: bool = True
    tolerance: float = 0.02
    checked: int = 8
    proof: bool = True
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Example:
    """An accepted object: its image, how it was clicked, and the mask one agreed to.

    Attributes
    ----------
    embedding : Embedding
        Of the object's own image.
    states : tuple of ClickState
        The click session's states.
    mask : ndarray of bool, shape (H, W)
    """

    embedding: Embedding
    states: tuple[ClickState, ...]
    mask: NDArray[np.bool_]

    @classmethod
    def found(cls, embedding: Embedding, mask: NDArray[np.bool_]) -> Example:
        """Return an example from a mask alone, as if its deepest pixel had been clicked."""
        from napari_samstar.core.interactive.next_click import next_click

        click = next_click(mask)
        prompt = ClickPrompt(() if click is None else (click,))
        return cls(embedding, (ClickState(prompt),), mask)


@dataclass(frozen=True, eq=False)
class TrainingTargets:
    """Makes lessons for the decoder of `original`, drawing by `chance` where there is a choice."""

    original: LoadedModel
    settings: AdaptSettings
    chance: np.random.Generator

    def of_clicks(
        self, embedding: Embedding, states: tuple[ClickState, ...]
    ) -> list[TrainingTarget]:
        """Return what the clicks so far teach: the mask on show, with all clicks drawn in."""
        state, settings = states[-1], self.settings
        assert state.prediction is not None
        frame = LowRes.of(self.original, embedding)
        target = mask_target(state.prediction.mask, frame, settings.erosion)
        discs = click_target(state.prompt.clicks, frame, settings.radius)
        target[discs >= 0] = discs[discs >= 0]
        target = target.to(self.original.device)
        found = [self._target(embedding, state, target)]
        if settings.consistency and len(states) > 1:
            found.append(self._target(embedding, states[-2], target, settings.consistency))
        return found

    def of_object(self, example: Example, earlier: tuple[Example, ...]) -> list[TrainingTarget]:
        """Return what an accepted object teaches, with replay of some of the `earlier` ones."""
        count = min(self.settings.replay, len(earlier))
        picks = self.chance.permutation(len(earlier))[:count]
        training_targets = self._targets_of(example)
        for k in picks:
            training_targets += self._targets_of(earlier[k])[:1]
        return training_targets

    def _targets_of(self, example: Example) -> list[TrainingTarget]:
        """Return a first click anywhere inside, and a state of the session at random."""
        frame = LowRes.of(self.original, example.embedding)
        target = mask_target(example.mask, frame, self.settings.erosion).to(self.original.device)
        states = [ClickState(ClickPrompt((self._inside(example.mask),)))]
        later = [s for s in example.states if not s.prompt.first or s.previous is not None]
        if later:
            states.append(later[int(self.chance.integers(len(later)))])
        return [self._target(example.embedding, s, target) for s in states]

    def _target(
        self, embedding: Embedding, state: ClickState, target: TargetMask, weight: float = 1.0
    ) -> TrainingTarget:
        encoded = encode_prompt(self.original, embedding, state)
        return TrainingTarget(encoded, gives_several(state), target, weight)

    def _inside(self, mask: NDArray[np.bool_]) -> Click:
        """Draw a pixel in the inner half of a mask."""
        inner = depth(mask)
        rows, cols = np.nonzero(inner >= inner.max() / 2)
        k = int(self.chance.integers(len(rows)))
        return Click(int(rows[k]), int(cols[k]))
