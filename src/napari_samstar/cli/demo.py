"""`samstar demo`: tune a bundled sample and score it against the truth the search never saw."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_samstar.cli import options
from napari_samstar.cli.console import emit, say, show, show_files, table, tracked
from napari_samstar.cli.inputs import Calibration, model_choice, open_image
from napari_samstar.cli.segment import summary
from napari_samstar.cli.tables import reward_table
from napari_samstar.cli.tune import about_search
from napari_samstar.core.amg.config import AmgConfig

if TYPE_CHECKING:
    from napari_samstar.core.masks.metrics import Score

DEFAULT_SAMPLE = "nanocrystals"
TRIALS = 300


def demo(
    *,
    out: options.Out = Path("demo_output"),
    sample: Annotated[
        str, typer.Option(help="Which bundled image; an unknown name lists them.")
    ] = DEFAULT_SAMPLE,
    model: options.Model = "pocket",
    device: options.OnDevice = options.Device.auto,
    trials: Annotated[
        int, typer.Option("--trials", "--evaluations", min=1, help="Configurations to try.")
    ] = TRIALS,
    points_per_side: Annotated[
        int, typer.Option(min=4, max=96, help="Density of SAM's point grid.")
    ] = 32,
    as_json: options.AsJson = False,
    verbose: options.Verbose = False,
) -> None:
    """Tune a bundled image, offline, and compare SAM's defaults with the tuned settings.

    The search sees the image alone; the ground truth is used only for the comparison.
    """
    from napari_samstar import sample_data
    from napari_samstar.cli.study import run_study
    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.masks.metrics import score
    from napari_samstar.core.results.outputs import staged
    from napari_samstar.core.results.result import segment_bank
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig
    from napari_samstar.core.tuning.inputs import SearchInputs

    start = time.perf_counter()
    vanilla = AmgConfig(points_per_side=points_per_side)
    prompts = options.prompts_for(options.Prompts.auto, model, on_grid=False)
    study_config = StudyConfig(trials=trials, base=vanilla.replace(prompts=prompts))
    with staged(out) as folder:
        image = open_image(sample_data.path(sample), ImageMapping(), Calibration())
        say(f"Tuning the sample {sample}; its ground truth is not looked at.")
        study, results, files = run_study(
            image, model_choice(model, device.value), Goal(), study_config, SearchInputs(), folder,
            stored=False,
        )  # fmt: skip
        with tracked() as tracker:
            before = tracker.run(segment_bank(results[0].bank, vanilla))
        truth = sample_data.load(sample)[1]
        if truth.ndim == 3:  # the plane that `Mapping()` takes of a stack
            truth = truth[len(truth) // 2]
        scores = {"defaults": score(truth, before.labels), "tuned": score(truth, results[0].labels)}
    about = summary(results[0], out, files, time.perf_counter() - start)
    about |= about_search(study, results[0])
    if as_json:
        compared: dict[str, Any] = {key: asdict(value) for key, value in scores.items()}
        emit({"command": "demo", "sample": sample, "scores": compared, **about})
        return
    show(reward_table(study))
    show(_comparison(sample, scores))
    typer.echo(f"It took {about['seconds']:.0f} s.")
    show_files(out, files)


def _comparison(name: str, scores: dict[str, Score]) -> Any:
    rows = table(f"{name}: against the ground truth", "", "SAM's defaults, on its grid", "tuned")
    pair = scores["defaults"], scores["tuned"]
    rows.add_row("Objects in truth", *(str(s.true) for s in pair))
    rows.add_row("Objects found", *(str(s.found) for s in pair))
    rows.add_row("Matched (IoU 0.5)", *(str(s.matched) for s in pair))
    rows.add_row("F1 at IoU 0.5", *(f"{s.f1:.3f}" for s in pair))
    rows.add_row("Mean AP, IoU 0.5 to 0.95", *(f"{s.mean_ap:.3f}" for s in pair))
    return rows
