"""A finished run as one self-contained HTML page: no network, light and dark, fit for printing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from datetime import date
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core.amg.config import OF_EXAMPLES, OF_GRIDS, ON_GRID, SETTINGS, AmgConfig
from napari_samstar.core.amg.summary import what_sam_gets
from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.results.charts import profile
from napari_samstar.core.results.report_parts import (
    Pair,
    change,
    front_chart,
    hypervolume_chart,
    pictures,
    row,
    table,
)
from napari_samstar.core.rewards.registry import REWARDS

if TYPE_CHECKING:
    from napari_samstar.core.results.recipe import Recipe
    from napari_samstar.core.tuning.summary import StudySummary

MOST_PICTURES = 6
"""Images that a report shows: each adds about half a megabyte."""

_PICKS = {
    "defaults": "SAM's defaults",
    "chosen": "chosen, without looking at the truth",
    "random": "random search, picked by the same rule",
    "oracle": "oracle: the best of all tried, knowing the truth",
}


def write_report(summary: StudySummary, pairs: Sequence[Pair], recipe: Recipe, path: Path) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    summary : StudySummary
    pairs : sequence of Pair
        Images with what defaults and chosen settings find; the first `MOST_PICTURES` are shown.
    recipe : Recipe
        Embedded, to be saved from the page.
    path : Path
    """
    with write_atomic(path) as part:
        part.write_text(report(summary, pairs, recipe), encoding="utf-8")


def report(summary: StudySummary, pairs: Sequence[Pair], recipe: Recipe) -> str:
    """Return the page as text; see `write_report`."""
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    title = f"Tuning report: {_subject(summary, recipe)}"
    sections = (
        _head(title, summary, recipe),
        _facts(summary),
        _diagnosis(summary),
        _pictures(pairs),
        _search(summary),
        _settings(summary),
        _rewards(summary),
        _images(summary),
        _truth(summary),
        _matter(summary),
        _recipe(recipe),
    )
    return template.substitute(title=escape(title), body="\n".join(s for s in sections if s))


def _subject(summary: StudySummary, recipe: Recipe) -> str:
    n = sum(not c.held_out for c in summary.checks)
    return f"{n} images" if n > 1 else recipe.image.get("name") or "image"


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _note(text: str) -> str:
    return f'<p class="muted">{escape(text)}</p>'


def _head(title: str, summary: StudySummary, recipe: Recipe) -> str:
    study_config, n = summary.study_config, len(summary.front.trials)
    tuned = sum(not c.held_out for c in summary.checks) or 1
    images = "one image" if tuned == 1 else f"{tuned} images together"
    picked = "best balance (knee)" if summary.rule == "knee" else "highest weighted mean"
    if summary.rule == "best" and summary.picked == summary.front.defaults:
        picked = "SAM's defaults, because nothing is clearly better"
    model = Path(recipe.model).name
    about = (
        f"{date.today():%d %B %Y}. Model {model}, {n} settings tried on {images}, "
        f"scope {study_config.scope}, seed {study_config.seed}; picked: {picked}."
    )
    return f"<h1>{escape(title)}</h1>{_note(about)}"


def _facts(summary: StudySummary) -> str:
    goal, chosen, before = summary.front.goal, summary.chosen, summary.defaults
    cards = []
    if before is not None:
        pair = goal.total(before.rewards), goal.total(chosen.rewards)
        cards.append(_fact("weighted mean of all rewards", *(f"{v:.3f}" for v in pair)))
        cards.append(_fact("masks", str(before.n_masks), str(chosen.n_masks)))
    held = [c for c in summary.checks if c.held_out]
    if held:
        pair = _mean_totals(summary, held)
        cards.append(_fact("the same on held-out images", *(f"{v:.3f}" for v in pair)))
    if "chosen" in summary.agreement:
        f1 = (f"{summary.agreement[name].f1:.3f}" for name in ("defaults", "chosen"))
        cards.append(_fact("F1 against ground truth", *f1))
    found = summary.random_front
    if found is not None:
        volumes = (f"{v:.3f}" for v in (found.hypervolume, summary.front.hypervolume))
        cards.append(_fact("hypervolume, random search and this one", *volumes))
    return f'<div class="facts">{"".join(cards)}</div>'


def _fact(what: str, before: str, after: str) -> str:
    return (
        f'<div class="fact"><div class="value"><s>{escape(before)} →</s> {escape(after)}</div>'
        f'<div class="what">{escape(what)}</div></div>'
    )


def _diagnosis(summary: StudySummary) -> str:
    if not summary.diagnosis:
        return ""
    items = (
        f'<li>{escape(remark.seen)} <span class="muted">{escape(remark.step)}</span></li>'
        for remark in summary.diagnosis
    )
    return _section("What the search says", f"<ul>{''.join(items)}</ul>")


def _mean_totals(summary: StudySummary, checks: Sequence[Any]) -> tuple[float, float]:
    total = summary.front.goal.total
    before = [total(c.defaults[0]) for c in checks]
    after = [total(c.chosen[0]) for c in checks]
    return sum(before) / len(checks), sum(after) / len(checks)


def _pictures(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    text = "Left of the line SAM's defaults, right of it the chosen settings. Move the slider."
    parts = [f'<p class="muted noprint">{text}</p>']
    for pair in pairs[:MOST_PICTURES]:
        if len(pairs) > 1:
            held = " (held out)" if pair.held_out else ""
            parts.append(f"<p><b>{escape(pair.image.name)}</b>{held}</p>")
        parts.append(pictures(pair))
    left = len(pairs) - MOST_PICTURES
    if left > 0:
        parts.append(_note(f"{left} more images are not shown."))
    return _section("What is found", *parts)


def _search(summary: StudySummary) -> str:
    front = summary.front
    text = (
        f"Each dot is one setting; the {len(front.members)} on the front are beaten by no other in "
        "every goal. "
    )
    if front.points.shape[1] == 3:
        text += "Rest the mouse on a dot to read the third goal. "
    text += "Hypervolume, 0 to 1, is the share of all conceivable outcomes that the front beats"
    random_trials = summary.random_front
    if random_trials is None:
        text += "."
    else:
        better = "above" if front.hypervolume > random_trials.hypervolume else "not above"
        text += f"; it ended at {front.hypervolume:.4f}, {better} random search's "
        text += f"{random_trials.hypervolume:.4f} at the same budget."
    charts = f'<div class="two">{front_chart(summary)}{hypervolume_chart(summary)}</div>'
    return _section("The search", _note(text), charts)


def _settings(summary: StudySummary) -> str:
    vanilla, chosen = AmgConfig(), summary.chosen.config
    rows = []
    idle = () if chosen.examples else OF_EXAMPLES
    for name, about in ((n, s) for n, s in SETTINGS.items() if n not in idle):
        old, new = getattr(vanilla, name), getattr(chosen, name)
        if chosen.prompts not in ON_GRID and name in OF_GRIDS:
            new = "at centres" if chosen.prompts == "centres" else "no grid"
        shown = [("", _number(old, about.unit)), ("new", _number(new, about.unit))]
        style = "changed" if old != new else ""
        rows.append(row(about.label, *shown, ("help", escape(about.help)), style=style))
    note = _note(f"SAM gets: {what_sam_gets(chosen)}.")
    return _section("Settings", note, table(("", "SAM's default", "chosen", ""), rows))


def _number(value: Any, unit: str) -> str:
    if isinstance(value, str):
        return value
    text = "points of your own" if value is None else f"{value:.4g}"
    return escape(f"{text} {unit}".strip())


def _rewards(summary: StudySummary) -> str:
    goal, chosen, before = summary.front.goal, summary.chosen, summary.defaults
    if before is None:
        return ""
    points = np.array([goal.values(e.rewards) for e in (before, chosen)])
    rows = []
    for k, name in enumerate(goal.names):
        old, new = points[:, k]
        rows.append(row(name, "", f"{old:.3f}", f"{new:.3f}", change(old, new), "", style="head"))
        for reward in REWARDS.values():
            weight = goal.weights.get(reward.name, 0.0)
            objective = goal.objectives.get(reward.name, reward.objective)
            applies = reward.name in before.rewards and reward.name in chosen.rewards
            if weight > 0 and objective == goal.used[k] and applies:
                old, new = (e.rewards[reward.name] for e in (before, chosen))
                cells = (f"{weight:g}", f"{old:.3f}", f"{new:.3f}", change(old, new))
                rows.append(row(reward.label, *cells, ("help", escape(reward.help))))
    note = _note("Between 0 and 1, higher is better. Rewards are estimates from the image, not the "
                 "truth: look at the pictures before you believe them.")  # fmt: skip
    head = ("", "weight", "SAM's defaults", "chosen", "change", "")
    return _section("What it gains", note, table(head, rows))


def _images(summary: StudySummary) -> str:
    if len(summary.checks) < 2:
        return ""
    total = summary.front.goal.total
    rows = []
    for check in summary.checks:
        old, new = total(check.defaults[0]), total(check.chosen[0])
        masks = f"{check.defaults[1]} → {check.chosen[1]}"
        kind = "held out" if check.held_out else "tuned on"
        rows.append(row(check.name, kind, masks, f"{old:.3f}", f"{new:.3f}", change(old, new)))
    for kind, held in (("tuned on", False), ("held out", True)):
        checks = [c for c in summary.checks if c.held_out == held]
        if checks:
            old, new = _mean_totals(summary, checks)
            cells = (kind, "", f"{old:.3f}", f"{new:.3f}", change(old, new))
            rows.append(row(f"mean of {len(checks)}", *cells, style="head"))
    note = _note("The weighted mean of all rewards on each image. Held-out images took no part in "
                 "the search: what they gain is what others like them can expect.")  # fmt: skip
    head = ("", "", "masks", "SAM's defaults", "chosen", "change")
    return _section("Images", note, table(head, rows))


def _truth(summary: StudySummary) -> str:
    if not summary.agreement:
        return ""
    both = [("", summary.agreement)]
    if summary.held_out_agreement:
        both.append((", held out", summary.held_out_agreement))
    rows = []
    for suffix, agreement in both:
        for name, text in _PICKS.items():
            if name in agreement:
                found = agreement[name]
                true, n, matched = (
                    sum(getattr(s, k) for s in found.images) for k in ("true", "found", "matched")
                )
                cells = (f"{found.f1:.3f}", f"{found.mean_ap:.3f}", true, n, matched)
                rows.append(row(text + suffix, *cells))
    note = _note("Scored after the search, which never saw the truth. Matched: IoU of at least "
                 "0.5; AP is averaged over IoU 0.5 to 0.95.")  # fmt: skip
    head = ("", "F1", "AP", "true", "found", "matched")
    return _section("Against ground truth", note, table(head, rows))


def _matter(summary: StudySummary) -> str:
    means = [m for effect in summary.effects for m in effect.mean]
    limits = (min(means, default=0.0), max(means, default=1.0))
    rows = []
    for effect in summary.effects:
        label, share = effect.setting.label, effect.share
        bar = f'<span class="share"><i style="width:{100 * share:.1f}%"></i></span>'
        span = f"{min(effect.at):.3g} to {max(effect.at):.3g}"
        line = profile(effect.at, effect.mean, limits, f"Weighted mean along {label}, {span}")
        rows.append(row(label, ("", bar), f"{share:.0%}", ("", line), span))
    source = "random search" if summary.random_trials else "the search, which prefers good settings"
    note = _note(
        "Share of the variance of the weighted mean of all rewards that a setting explains by "
        f"itself, from the evaluations of {source}. The line: the mean outcome along the setting, "
        "all on one scale."
    )
    head = ("", "", "share", "outcome", "range")
    return _section("Settings that matter", note, table(head, rows))


def _recipe(recipe: Recipe) -> str:
    text = json.dumps(recipe.to_dict(), indent=2, ensure_ascii=False)
    raw = base64.b64encode(text.encode()).decode()
    link = (
        f'<p class="noprint"><a download="recipe.samstar.json" '
        f'href="data:application/json;base64,{raw}">Save the recipe</a>, then repeat it with '
        "<code>samstar apply recipe.samstar.json IMAGE -o OUT</code>.</p>"
    )
    shown = f"<details><summary>Show it</summary><pre>{escape(text)}</pre></details>"
    versions = ", ".join(_versions(recipe.software))
    return _section("Recipe and software", link, _note(versions + "."), shown)


def _versions(software: dict[str, Any]) -> Iterator[str]:
    for name, value in software.items():
        yield f"{name} {value}"
