"""What `samstar tune` and `samstar demo` print about a search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from napari_samstar.cli.console import table

if TYPE_CHECKING:
    from napari_samstar.api.study import Study
    from napari_samstar.core.masks.metrics import Agreement

_PICKS = {
    "defaults": "SAM's defaults",
    "chosen": "Tuned",
    "random": "Random search",
    "oracle": "Oracle",
}


def tables(study: Study) -> Iterator[Any]:
    """Yield the rewards, and where there are such: images, random search, ground truth."""
    outcome = study.summary
    yield reward_table(study)
    if len(outcome.checks) > 1:
        yield _image_table(study)
    if outcome.random_trials:
        yield _random_table(study)
    for name, agreement in (("tuned images", outcome.agreement),
                            ("held-out images", outcome.held_out_agreement)):  # fmt: skip
        if agreement:
            yield _truth_table(name, agreement)
    yield _effect_table(study)


def reward_table(study: Study) -> Any:
    """Return a table of every objective and weighted reward, defaults against the picked one."""
    from napari_samstar.core.rewards.registry import REWARDS

    found = study.front
    pair = [p for p in (found.defaults, study.summary.picked) if p is not None]
    heads = ["SAM's defaults", "tuned"][-len(pair) :]
    rows = table(f"{_title(study)}: {len(found.trials)} configurations, "
                 f"{len(found.members)} on the front", "", *heads)  # fmt: skip
    rows.add_row("Masks", *(str(found.trials[p].n_masks) for p in pair))
    for k, name in enumerate(found.goal.names):
        rows.add_row(f"[bold]{name}", *(f"{found.points[p, k]:.3f}" for p in pair))
        for reward in REWARDS.values():
            weight = found.goal.weights.get(reward.name, 0.0)
            objective = found.goal.objectives.get(reward.name, reward.objective)
            if weight > 0 and objective == found.goal.used[k]:
                values = [found.trials[p].rewards.get(reward.name) for p in pair]
                if None not in values:  # a reward that does not apply to the image is absent
                    rows.add_row(f"  {reward.label}", *(f"{v:.3f}" for v in values))
    return rows


def _title(study: Study) -> str:
    n = len(study.evaluators.tuned)
    return study.evaluators.first.bank.image.name if n == 1 else f"{n} images"


def _image_table(study: Study) -> Any:
    total = study.front.goal.total
    rows = table("Weighted mean of all rewards", "", "", "SAM's defaults", "tuned")
    for check in study.summary.checks:
        pair = (f"{total(rewards):.3f}" for rewards, _ in (check.defaults, check.chosen))
        rows.add_row(check.name, "held out" if check.held_out else "tuned on", *pair)
    return rows


def _random_table(study: Study) -> Any:
    outcome = study.summary
    random_trials, pick, total = outcome.random_front, outcome.random_pick, outcome.front.goal.total
    assert random_trials is not None
    assert pick is not None
    rows = table("Against random search at equal budget", "", "random", "tuned")
    rows.add_row(
        "Hypervolume", f"{random_trials.hypervolume:.4f}", f"{outcome.front.hypervolume:.4f}"
    )
    pair = (pick, outcome.chosen)
    rows.add_row("Weighted mean of the pick", *(f"{total(e.rewards):.4f}" for e in pair))
    bests = (found.trials[found.best] for found in (random_trials, outcome.front))
    rows.add_row("Highest weighted mean", *(f"{total(e.rewards):.4f}" for e in bests))
    return rows


def _truth_table(name: str, agreement: dict[str, Agreement]) -> Any:
    rows = table(f"Against the ground truth, {name}", "", "F1", "AP", "true", "found", "matched")
    for key, label in _PICKS.items():
        if key in agreement:
            found = agreement[key]
            sums = (sum(getattr(s, k) for s in found.images) for k in ("true", "found", "matched"))
            rows.add_row(label, f"{found.f1:.3f}", f"{found.mean_ap:.3f}", *map(str, sums))
    return rows


def _effect_table(study: Study) -> Any:
    rows = table("Settings that matter", "", "share of the variance")
    for effect in study.summary.effects:
        rows.add_row(effect.setting.label, f"{effect.share:.0%}")
    return rows
