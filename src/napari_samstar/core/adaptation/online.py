"""Online adaptation of the mask decoder to accepted objects, with rollback and validation.

After Schön et al., arXiv 2404.08421: only the mask decoder is trained, on pseudo-labels from clicks
and from eroded accepted masks. New here:

- replay of earlier objects, each with its own image's embedding;
- a pull towards the original weights (L2-SP);
- rollback of an update that makes earlier objects worse;
- validation: each accepted object first tests the weights adapted so far. They predict first clicks
  only while they do so better than the original. Later clicks use both decoders.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.adaptation.targets import AdaptSettings, Example, TargetBuilder
from napari_samstar.core.adaptation.trainer import DecoderTrainer
from napari_samstar.core.adaptation.weights import WeightDelta, adapted, initial_delta
from napari_samstar.core.interactive.next_click import iou
from napari_samstar.core.interactive.predict import predict
from napari_samstar.core.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.interactive.state import ClickState
    from napari_samstar.core.models.backend import Embedding, LoadedModel

NEGLIGIBLE_GAIN = 0.005
"""IoU; smaller gains are reported as none."""


@dataclass(frozen=True)
class UpdateResult:
    """Outcome of one update of the decoder.

    Attributes
    ----------
    kept : bool
        False where the update was rolled back.
    n_checked : int
        Earlier objects that were predicted again.
    text : str
        One sentence for the user.
    """

    kept: bool
    n_checked: int
    text: str


@dataclass(eq=False)
class Adaptation:
    """The decoder's adaptation to the objects of one user.

    `learn_clicks` and `learn_object` are generators that yield `Progress`. They train a private
    copy of the decoder and take effect at their end. Run one at a time; predictions with any
    returned model may run at the same time.

    Parameters
    ----------
    original : LoadedModel
        Never changed.
    settings : AdaptSettings
    examples : tuple of Example
        Objects of the updates that were kept.
    n_rolled_back : int
        Updates that were rolled back.
    """

    original: LoadedModel
    settings: AdaptSettings = field(default_factory=AdaptSettings)
    examples: tuple[Example, ...] = ()
    n_rolled_back: int = 0

    def __post_init__(self) -> None:
        """Start from the original weights."""
        self._delta: WeightDelta | None = None
        self._click_delta: WeightDelta | None = None  # of the current object alone
        self._model = self.original
        self._rng = np.random.default_rng(self.settings.seed)
        self._gains: tuple[float, ...] = ()
        self._ious: dict[Example, float] = {}  # of the current model
        self._restored = False
        self._n_updates = 0
        self._n_restored_objects = 0

    @property
    def model(self) -> LoadedModel:
        """The adapted model; the original before any update."""
        return self._model

    @property
    def delta(self) -> WeightDelta | None:
        """The adapted weights; None before any update."""
        return self._delta

    @property
    def gain(self) -> float:
        """IoU by which first clicks are predicted better than by the original; NaN if unknown.

        The mean over the last `AdaptSettings.n_checked` accepted objects, each predicted before it
        was trained on.
        """
        recent = self._gains[-self.settings.n_checked :]
        return float(np.mean(recent)) if recent else float("nan")

    @property
    def validated(self) -> bool:
        """Whether the adapted weights predict first clicks; always so if `validate` is off.

        Restored weights count as validated until there is a gain.
        """
        if not self.settings.validate:
            return True
        return self.gain > 0 if self._gains else self._restored

    @property
    def first_click_model(self) -> LoadedModel:
        """The model for first clicks: the adapted one if it is validated, else the original."""
        return self._model if self.validated else self.original

    @property
    def competitor(self) -> LoadedModel | None:
        """The other of the two models, for corrections; None before any update."""
        if self._delta is None:
            return None
        return self.original if self.validated else self._model

    @property
    def n_objects(self) -> int:
        """Objects that the weights were trained on, those before a restore included."""
        return self._n_restored_objects + self._n_updates

    @property
    def text(self) -> str:
        """The state in one line, for the user."""
        if self._delta is None and not self.n_rolled_back:
            return "Nothing learned yet: these are the original weights."
        n_checked = max(0, min(self._n_updates - 1, self.settings.n_checked))
        line = f"Learned from {_count(self.n_objects, 'object')}"
        if self._restored:
            restored = self._n_restored_objects
            line += f", {restored} of them earlier" if self._n_updates else " earlier"
        line += f", checked on {n_checked}." if n_checked else "."
        if self._gains and self.settings.validate:
            line += f" {self._gain_text()}"
        if self.n_rolled_back:
            line += f" {_count(self.n_rolled_back, 'update')} rolled back."
        return line

    def reset(self) -> LoadedModel:
        """Drop all adaptation and return the original model, unchanged bit for bit."""
        self.examples, self.n_rolled_back = (), 0
        self.__post_init__()
        return self._model

    def restore(self, delta: WeightDelta, n_objects: int = 0) -> LoadedModel:
        """Take over weights from a file, and return the model with them.

        Parameters
        ----------
        n_objects : int
            Objects that they were trained on.
        """
        self.reset()
        self._n_restored_objects = n_objects
        self._delta, self._restored = delta.detached(), True
        self._model = adapted(self.original, self._delta)
        return self._model

    def start_object(self) -> LoadedModel:
        """Drop what was learned from the previous object's clicks; returns `first_click_model`."""
        self._click_delta = None
        return self.first_click_model

    def learn_clicks(
        self, embedding: Embedding, states: tuple[ClickState, ...]
    ) -> Generator[Progress, None, LoadedModel]:
        """Train on the clicks of the current object; returns a model for this object alone.

        The target is the current mask, with all clicks drawn in.
        """
        settings = self.settings
        if not settings.click_steps or not states or states[-1].prediction is None:
            return self._model
        targets = self._target_builder().from_clicks(embedding, states)
        start = self._click_delta or self._start_delta()
        trainer = self._trainer(start, settings.click_learning_rate)
        for k in range(settings.click_steps):
            yield Progress(k, settings.click_steps, "Learning from the clicks")
            trainer.step(targets)
        self._click_delta = trainer.delta()
        return adapted(self.original, self._click_delta)

    def learn_object(self, example: Example) -> Generator[Progress, None, UpdateResult]:
        """Train on an accepted object, with replay, then check the earlier objects."""
        settings = self.settings
        self._click_delta = None
        self._measure_gain(example)
        if not settings.object_steps:
            self.examples = (*self.examples, example)
            text = "Noted; learning from objects is off."
            return UpdateResult(True, 0, text)
        trainer = self._trainer(self._start_delta(), settings.object_learning_rate)
        total = settings.object_steps + 1
        for k in range(settings.object_steps):
            yield Progress(k, total, "Learning from the accepted object")
            trainer.step(self._target_builder().from_object(example, self.examples))
        yield Progress(total - 1, total, "Checking earlier objects")
        return self._keep_or_roll_back(example, trainer.delta())

    # --- private ------------------------------------------------------------------------------

    def _target_builder(self) -> TargetBuilder:
        return TargetBuilder(self.original, self.settings, self._rng)

    def _trainer(self, start: WeightDelta, learning_rate: float) -> DecoderTrainer:
        return DecoderTrainer(self.original, start, learning_rate, self.settings.l2_sp)

    def _start_delta(self) -> WeightDelta:
        if self._delta is not None:
            return self._delta
        settings, weights = self.settings, self.original.backend.decoder_weights()
        return initial_delta(weights, settings.kind, settings.rank, settings.seed)

    def _measure_gain(self, example: Example) -> None:
        """Compare adapted and original model on the first click of a new object."""
        if self._delta is None or not example.states or not example.states[0].prompt:
            return
        first = example.states[0]
        ious = [
            iou(predict(m, example.embedding, first.prompt, first.mask_prompt).mask, example.mask)
            for m in (self._model, self.original)
        ]
        self._gains = (*self._gains, ious[0] - ious[1])

    def _keep_or_roll_back(self, example: Example, delta: WeightDelta) -> UpdateResult:
        """Keep an update, or roll it back where earlier objects get worse."""
        model = adapted(self.original, delta)
        checked = self._examples_to_check()
        known = self._ious
        before = np.array([known[e] if e in known else _mean_iou(self._model, e) for e in checked])
        after = np.array([_mean_iou(model, e) for e in checked])
        losses = before - after
        if self.settings.rollback and self._is_too_bad(losses):
            self.n_rolled_back += 1
            loss = f"{losses.mean():.2f} IoU on average"
            text = f"Rolled back: earlier objects would have lost {loss}."
            return UpdateResult(False, len(checked), text)
        self.examples = (*self.examples, example)
        self._delta, self._model = delta, model
        self._ious = dict(zip(checked, after.tolist(), strict=True))
        self._n_updates += 1
        return UpdateResult(True, len(checked), self.text)

    def _is_too_bad(self, losses: NDArray[np.float64]) -> bool:
        tolerance = self.settings.tolerance
        return bool(losses.size and (losses.mean() > tolerance or losses.max() > 3 * tolerance))

    def _examples_to_check(self) -> list[Example]:
        """Return the newest earlier examples and, where there are more, random older ones."""
        if not self.settings.rollback:
            return []
        count, known = self.settings.n_checked, self.examples
        if len(known) <= count:
            return list(known)
        newest, older = known[-count // 2 :], known[: -count // 2]
        picks = self._rng.permutation(len(older))[: count - len(newest)]
        return [older[k] for k in sorted(picks)] + list(newest)

    def _gain_text(self) -> str:
        if abs(self.gain) < NEGLIGIBLE_GAIN:
            return "So far a first click gives as good a mask as before."
        if self.validated:
            return f"A first click gives better masks than before (IoU {self.gain:+.2f})."
        return (
            f"A first click gives no better masks than before (IoU {self.gain:+.2f}), so the "
            "original SAM answers it."
        )


def _mean_iou(model: LoadedModel, example: Example) -> float:
    """Return the mean IoU of the masks of an example's first and last prompt."""
    states = [example.states[0], example.states[-1]] if len(example.states) > 1 else example.states
    masks = [predict(model, example.embedding, s.prompt, s.mask_prompt).mask for s in states]
    return float(np.mean([iou(mask, example.mask) for mask in masks]))


def _count(n: int, noun: str) -> str:
    return f"1 {noun}" if n == 1 else f"{n} {noun}s"
