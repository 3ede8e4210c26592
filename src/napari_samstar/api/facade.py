"""Plain functions over `pipeline`, for scripts and notebooks: `import napari_samstar as ss`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_samstar.api.pipeline import (
    Applied,
    SearchStep,
    iter_load_model,
    iter_segment,
)
from napari_samstar.api.pipeline import iter_apply as _iter_apply
from napari_samstar.api.pipeline import iter_tune as _iter_tune
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig, Scope
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.channels import with_channels
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.models.backend import LoadedModel, Precision
from napari_samstar.core.models.encoder import EmbeddingCache, default_cache
from napari_samstar.core.models.registry import ModelChoice
from napari_samstar.core.progress import Progress, run
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.presets import goal_of
from napari_samstar.core.tuning.config import StudyConfig
from napari_samstar.core.tuning.inputs import ExtraImage, SearchInputs

if TYPE_CHECKING:
    from napari_samstar.api.study import Study
    from napari_samstar.core.results.result import Result
    from napari_samstar.core.tuning.summary import Rule

Report = Callable[[Progress], None]
Prompts = Literal["auto"] | str


def read(path: str | Path, *, channel: int | str | None = None, **mapping: Any) -> LoadedImage:
    """Read an image file.

    Parameters
    ----------
    channel : int or str, optional
        A channel by number or name, such as "DAPI"; "DAPI, actin" or "all" merges several, see
        `channels.with_channels`.
    **mapping
        Which plane is meant and how it becomes 8-bit, see `ImageMapping`: `plane`, `channel`,
        `projection`, `stretch`, `invert`, ...

    Examples
    --------
    >>> image = read("stack.tif", plane=(3,))  # doctest: +SKIP
    """
    image = read_image(path)
    image = image.replace(mapping=image.mapping.replace(**mapping)) if mapping else image
    return image if channel is None else with_channels(image, str(channel))


def load_model(
    name: str | Path = "pocket",
    device: str = "auto",
    precision: Precision = "reference",
    *,
    progress: Report | None = None,
) -> LoadedModel:
    """Load a model by its name, downloading it if need be, or from a checkpoint file.

    Parameters
    ----------
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : {"reference", "fast"}
        "fast" is half precision on a GPU, where masks differ in a few pixels; on the CPU it changes
        nothing.
    """
    return run(iter_load_model(_choice(name, device, precision)), progress)


def segment(
    image: LoadedImage | str | Path,
    model: LoadedModel | str | Path = "pocket",
    *,
    prompts: Prompts = "auto",
    progress: Report | None = None,
    **settings: Any,
) -> Result:
    """Segment one plane of an image with one set of SAM's settings.

    Parameters
    ----------
    prompts : str
        A prompt source, such as "grid", "centres", "boxes", "classical" or "combined". "auto"
        prompts at the centres of objects where the model sees them, and else on SAM's grid.
    progress : callable, optional
        Called with `Progress` while the work goes on.
    **settings
        See `AmgConfig`: `pred_iou_thresh`, `points_per_side`, `boxes`, ... Those left out are the
        model's defaults, see `AmgConfig.for_model`.

    Returns
    -------
    Result
        `labels` is int32 of shape (H, W); `table` has one row for each object; `save` writes both
        and the recipe.

    Raises
    ------
    UserError
        Where image, model or settings cannot be used; its text is one sentence.
    """
    loaded = model if isinstance(model, LoadedModel) else load_model(model, progress=progress)
    config = _config(loaded, prompts, settings)
    return run(iter_segment(_image(image), loaded, config, default_cache()), progress)


def tune(
    image: LoadedImage | str | Path,
    goal: Goal | Mapping[str, float] | str | None = None,
    model: LoadedModel | str | Path = "pocket",
    *,
    trials: int = 400,
    scope: Scope = "filters",
    seed: int = 0,
    population: int = 24,
    budget: float = StudyConfig.seconds,
    prompts: Prompts = "auto",
    inputs: SearchInputs | None = None,
    extra_images: Iterable[LoadedImage | str | Path] = (),
    held_out: Iterable[LoadedImage | str | Path] = (),
    rule: Rule = "best",
    resume: bool = False,
    progress: Report | None = None,
    **settings: Any,
) -> Study:
    """Search SAM's settings for an image by what a good segmentation is, without labels.

    Parameters
    ----------
    goal : Goal, mapping, str, optional
        Weights of rewards by name, or the name of a preset; by default the balanced preset.
    trials : int
        Configurations to try.
    scope : {"filters", "zoom", "scale", "grids", "wide", "everything"}
        Which settings may change; "wide" also where SAM is prompted and what it is shown.
    seed : int
        The same seed gives the same result.
    population : int
        Configurations in each generation.
    budget : float
        With the scope "wide": about how long SAM may run, s.
    inputs : SearchInputs, optional
        Expected sizes, examples, annotations, ground truth, time limit.
    extra_images, held_out : iterable of LoadedImage or path
        Images to search on as well, and images to check the choice on.
    rule : {"best", "knee"}
        Which trial `Study.picked` is.
    resume : bool
        Go on with an earlier search of the same images.
    **settings
        Settings to start from, see `AmgConfig`; the scope may change them.

    Returns
    -------
    Study
        ``study.best.segment()`` gives the objects of the best settings.
    """
    steps = iter_tune(
        image, goal, model, trials=trials, scope=scope, seed=seed, population=population,
        budget=budget, prompts=prompts, inputs=inputs, extra_images=extra_images, held_out=held_out,
        rule=rule, resume=resume, **settings,
    )  # fmt: skip

    def forward(step: SearchStep) -> None:
        if progress is not None and isinstance(step, Progress):
            progress(step)

    return run(steps, forward)


def iter_tune(
    image: LoadedImage | str | Path,
    goal: Goal | Mapping[str, float] | str | None = None,
    model: LoadedModel | str | Path = "pocket",
    *,
    trials: int = 400,
    scope: Scope = "filters",
    seed: int = 0,
    population: int = 24,
    budget: float = StudyConfig.seconds,
    prompts: Prompts = "auto",
    inputs: SearchInputs | None = None,
    extra_images: Iterable[LoadedImage | str | Path] = (),
    held_out: Iterable[LoadedImage | str | Path] = (),
    rule: Rule = "best",
    resume: bool = False,
    **settings: Any,
) -> Generator[SearchStep, None, Study]:
    """Search as `tune` does, step by step.

    Yields `Progress`, the evaluators, the prepared run and batches of trials; returns the study.
    """
    if isinstance(model, LoadedModel):
        loaded = model
    else:
        loaded = yield from iter_load_model(_choice(model))
    inputs = inputs or SearchInputs()
    config = _config(
        loaded, "grid" if prompts == "auto" and scope == "grids" else prompts, settings
    )
    study_config = StudyConfig(scope, trials, population, seed, config, seconds=budget)
    extra = (
        *inputs.extra_images,
        *(ExtraImage(_image(x)) for x in extra_images),
        *(ExtraImage(_image(x), held_out=True) for x in held_out),
    )
    cache = default_cache()
    bank = ProposalBank(_image(image).prepare(), loaded, cache)
    return (
        yield from _iter_tune(
            bank, _goal(goal), study_config, inputs.replace(extra_images=extra), cache,
            rule=rule, resume=resume,
        )
    )  # fmt: skip


def apply(
    recipe: Recipe | str | Path,
    image: LoadedImage | str | Path,
    model: LoadedModel | str | Path | None = None,
    *,
    progress: Report | None = None,
) -> Result:
    """Repeat a recipe on an image; on the same image it gives the same labels.

    Parameters
    ----------
    model : LoadedModel or path, optional
        Where the recipe's weights are; by default as the recipe says.

    Raises
    ------
    UserError
        Where recipe or image cannot be read, or the model has other weights than the recipe's.
    """
    known = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    name = known.model if model is None else model
    loaded = name if isinstance(name, LoadedModel) else load_model(name, progress=progress)
    (done,) = _applied(known, (image,), loaded, progress)
    if done.result is None:
        raise UserError(done.problem)
    return done.result


def iter_apply(
    recipe: Recipe | str | Path,
    images: Iterable[LoadedImage | str | Path],
    model: LoadedModel | str | Path | None = None,
    cache: EmbeddingCache | None = None,
) -> Generator[Progress | Applied, None, None]:
    """Repeat a recipe on several images; yields `Progress`, and `Applied` for each image."""
    known = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    name = known.model if model is None else model
    if isinstance(name, LoadedModel):
        loaded = name
    else:
        loaded = yield from iter_load_model(_choice(name, precision=known.precision))
    known.check_model(loaded)
    mapped = [_image(image).replace(mapping=known.mapping) for image in images]
    yield from _iter_apply(known, mapped, loaded, cache or default_cache())


def _applied(
    recipe: Recipe,
    images: Iterable[LoadedImage | str | Path],
    model: LoadedModel,
    progress: Report | None,
) -> list[Applied]:
    found: list[Applied] = []

    def take(step: Progress | Applied) -> None:
        if isinstance(step, Applied):
            found.append(step)
        elif progress is not None:
            progress(step)

    run(iter_apply(recipe, images, model), take)
    return found


def _image(image: LoadedImage | str | Path) -> LoadedImage:
    return image if isinstance(image, LoadedImage) else read_image(image)


def _choice(
    name: str | Path, device: str = "auto", precision: Precision = "reference"
) -> ModelChoice:
    return ModelChoice(str(name), device, precision)


def _goal(goal: Goal | Mapping[str, float] | str | None) -> Goal:
    if isinstance(goal, Goal):
        return goal
    return goal_of(goal or "balanced") if isinstance(goal, str | None) else Goal(dict(goal))


def _config(model: LoadedModel, prompts: Prompts, settings: Mapping[str, Any]) -> AmgConfig:
    """Return the settings; "auto" prompts at centres where the model sees them.

    The scale of tiles is chosen for the image where it is not given, unless there are zoom levels.
    """
    on_grid = settings.keys() & {"points_per_side", "point_grids"}
    if "tile_scale" not in settings and not settings.get("crop_n_layers"):
        settings = {**settings, "tile_scale": None}
    if prompts == "auto" and settings.get("boxes"):
        prompts = "boxes"
    elif prompts == "auto":
        prompts = "centres" if model.backend.sees_centres and not on_grid else "grid"
    return AmgConfig.for_model(model.name, {"prompts": prompts, **settings})
