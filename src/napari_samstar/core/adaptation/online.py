"""A decoder that learns from one's corrections, and takes back what makes it worse.

After Schön et al., arXiv 2404.08421: pseudo-labels from clicks and from eroded accepted masks, only
the mask decoder learns. Ours: replay with each object's own embedding, a pull to the original
weights, a guard, and a proof: every accepted object is first a test of what the earlier ones
taught, and only a decoder that passes answers first clicks. Later clicks are answered by both.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.adaptation.targets import AdaptSettings, Example, TrainingTargets
from napari_samstar.core.adaptation.trainer import DecoderTrainer
from napari_samstar.core.adaptation.weights import WeightDelta, adapted, start
from napari_samstar.core.interactive.next_click import iou
from napari_samstar.core.interactive.predict import predict
from napari_samstar.core.progress import Progress

if TYPE_CHECKING:
    from napari_samstar.core.interactive.state import ClickState
    from napari_samstar.core.models.backend import Embedding, LoadedModel


@dataclass(frozen=True)
class UpdateResult:
    """What became of an update.

    Attributes
    ----------
    kept : bool
        False where the guard took it back.
    checked : int
        Earlier objects that were predicted again.
    before, after : float
        Their mean IoU with the accepted masks; NaN without any.
    worst : float
        The largest loss of a single one.
    text : str
        One sentence for the user.
    """

    kept: bool
    checked: int
    before: float
    after: float
    worst: float
    text: str


@dataclass(eq=False)
class Adaptation:
    """What is learned during a session, and the model that has learned it.

    The methods that learn are generators: they yield `Progress`, work on a private copy of the
    decoder, and take effect at their end. They must not run at the same time as each other; a
    prediction with any model handed out may run at any time.

    Parameters
    ----------
    original : LoadedModel
        Never changed.
    settings : AdaptSettings
    """

    original: LoadedModel
    settings: AdaptSettings = field(default_factory=AdaptSettings)
    examples: tuple[Example, ...] = ()
    taken_back: int = 0

    def __post_init__(self) -> None:
        """Start from the original weights."""
        self._learned: WeightDelta | None = None
        self._current: WeightDelta | None = None
        self._model = self.original
        self._chance = np.random.default_rng(self.settings.seed)
        self._trials: tuple[float, ...] = ()
        self._scores: dict[Example, float] = {}  # what the present model reaches
        self._loaded = False
        self._updates = 0
        self._earlier = 0

    @property
    def model(self) -> LoadedModel:
        """The model with what accepted objects have taught; the original before any."""
        return self._model

    @property
    def learned(self) -> WeightDelta | None:
        """What accepted objects have taught; None before any."""
        return self._learned

    @property
    def gain(self) -> float:
        """IoU by which the first answers on new objects beat the original's; NaN before any.

        The mean over the last `AdaptSettings.checked` accepted objects, each asked before it was
        learned from.
        """
        recent = self._trials[-self.settings.checked :]
        return float(np.mean(recent)) if recent else float("nan")

    @property
    def proven(self) -> bool:
        """Whether what was learned has shown to answer first clicks better than the original."""
        known = self._trials or not self._loaded  # what was loaded counts as proven at first
        return not self.settings.proof or (self.gain > 0 if known else True)

    @property
    def beside(self) -> LoadedModel | None:
        """The model whose answers to corrections compete with those of the one from `begin`."""
        if self._learned is None:
            return None
        return self.original if self.proven else self._model

    @property
    def objects(self) -> int:
        """How many objects it has learned from, with those before it was loaded."""
        return self._earlier + self._updates

    @property
    def text(self) -> str:
        """The state in one line."""
        if self._learned is None and not self.taken_back:
            return "Nothing learned yet: these are the original weights."
        checked = max(0, min(self._updates - 1, self.settings.checked))
        line = f"Learned from {_objects(self.objects)}"
        if self._loaded:
            line += f", {self._earlier} of them earlier" if self._updates else " earlier"
        line += f", checked on {checked}." if checked else "."
        if self._trials and self.settings.proof:
            better = "better than" if self.proven else "no better than"
            if abs(self.gain) < 0.005:
                better = "as good as"
            line += f" Its first answers were {better} the original's ({self.gain:+.2f} IoU)."
        if self.taken_back:
            line += f" What {_objects(self.taken_back)} taught was taken back."
        return line

    def reset(self) -> LoadedModel:
        """Forget everything and return the original model, its weights bit for bit as loaded."""
        self.examples, self.taken_back = (), 0
        self.__post_init__()
        return self._model

    def restore(self, learned: WeightDelta, objects: int = 0) -> LoadedModel:
        """Take over what a file holds, and return the model with it.

        Parameters
        ----------
        objects : int
            How many objects it was learned from.
        """
        self.reset()
        self._earlier = objects
        self._learned, self._loaded = learned.detached(), True
        self._model = adapted(self.original, self._learned)
        return self._model

    def begin(self) -> LoadedModel:
        """Start a new object and return the model for its first click.

        What the last one's clicks taught is dropped.
        """
        self._current = None
        return self._model if self.proven else self.original

    def learn_clicks(
        self, embedding: Embedding, states: tuple[ClickState, ...]
    ) -> Generator[Progress, None, LoadedModel]:
        """Learn from the clicks on the present object; returns a model for this object alone.

        The lesson is the mask on show, which every click has corrected, with all clicks drawn in;
        what lies between object and background teaches nothing.
        """
        settings = self.settings
        if not settings.click_steps or not states or states[-1].prediction is None:
            return self._model
        training_targets = self._training_targets.of_clicks(embedding, states)
        trainer = DecoderTrainer(
            self.original, self._current or self._start(), settings.click_rate, settings.pull
        )
        for k in range(settings.click_steps):
            yield Progress(k, settings.click_steps, "Learning from the clicks")
            trainer.step(training_targets)
        self._current = trainer.learned()
        return adapted(self.original, self._current)

    def accept(self, example: Example) -> Generator[Progress, None, UpdateResult]:
        """Learn from an accepted object, with replay, then check the earlier ones."""
        settings = self.settings
        self._current = None
        self._try(example)
        if not settings.object_steps:
            self.examples = (*self.examples, example)
            return UpdateResult(
                True, 0, np.nan, np.nan, 0.0, "Noted; learning from objects is off."
            )
        trainer = DecoderTrainer(self.original, self._start(), settings.object_rate, settings.pull)
        total = settings.object_steps + 1
        for k in range(settings.object_steps):
            yield Progress(k, total, "Learning from the accepted object")
            trainer.step(self._training_targets.of_object(example, self.examples))
        yield Progress(total - 1, total, "Checking earlier objects")
        return self._judge(example, trainer.learned())

    # --- private ------------------------------------------------------------------------------

    @property
    def _training_targets(self) -> TrainingTargets:
        return TrainingTargets(self.original, self.settings, self._chance)

    def _try(self, example: Example) -> None:
        """Ask what was learned and the original for the first click of an object new to both."""
        if self._learned is None or not example.states or not example.states[0].prompt:
            return
        first = example.states[0]
        found = [
            iou(predict(m, example.embedding, first.prompt, first.previous).mask, example.mask)
            for m in (self._model, self.original)
        ]
        self._trials = (*self._trials, found[0] - found[1])

    def _start(self) -> WeightDelta:
        if self._learned is not None:
            return self._learned
        original = self.original.backend.decoder_weights()
        return start(original, self.settings.kind, self.settings.rank, self.settings.seed)

    def _judge(self, example: Example, learned: WeightDelta) -> UpdateResult:
        """Keep an update, or take it back where earlier objects got worse."""
        settings = self.settings
        model = adapted(self.original, learned)
        watched = self._watched()
        known = self._scores
        before = np.array([known[e] if e in known else _score(self._model, e) for e in watched])
        after = np.array([_score(model, e) for e in watched])
        self.examples = (*self.examples, example)
        loss = before - after
        worst = float(loss.max(initial=0.0))
        bad = loss.size and (loss.mean() > settings.tolerance or worst > 3 * settings.tolerance)
        means = [float(x.mean()) if x.size else float("nan") for x in (before, after)]
        if settings.guard and bad:
            self.taken_back += 1
            self.examples = self.examples[:-1]
            text = f"Taken back: earlier objects would have lost {loss.mean():.2f} IoU on average."
            return UpdateResult(False, len(watched), means[0], means[1], worst, text)
        self._learned, self._model = learned, model
        self._scores = dict(zip(watched, after.tolist(), strict=True))
        self._updates += 1
        return UpdateResult(True, len(watched), means[0], means[1], worst, self.text)

    def _watched(self) -> list[Example]:
        """Return the newest earlier objects and, where there are more, some of the others."""
        count, known = self.settings.checked, self.examples
        if not self.settings.guard or len(known) <= count:
            return list(known) if self.settings.guard else []
        newest, older = known[-count // 2 :], known[: -count // 2]
        picks = self._chance.permutation(len(older))[: count - len(newest)]
        return [older[k] for k in sorted(picks)] + list(newest)


def _score(model: LoadedModel, example: Example) -> float:
    """IoU of an accepted mask with the answers to its first click and to its last prompt, mean."""
    prompts = [example.states[0], example.states[-1]] if len(example.states) > 1 else example.states
    answers = [predict(model, example.embedding, s.prompt, s.previous) for s in prompts]
    return float(np.mean([iou(a.mask, example.mask) for a in answers]))


def _objects(n: int) -> str:
    return "1 object" if n == 1 else f"{n} objects"
