"""Repeat a recipe on many images and stacks; a killed run goes on where it was.

    jobs -> opened images -> tiles, kept on disk -> a folder for each result

A result that is there already is not made again. Tiles are decoded in this process, or by another
`Decoder`, such as `cluster.Cluster`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_samstar.api.batch_folder import is_there, recipe_in, whole
from napari_samstar.api.batch_plane import (
    Batch,
    BatchStopped,
    BegunPlane,
    Decoder,
    InProcess,
    begin,
    begun_ahead,
    prepare_plane,
)
from napari_samstar.api.batch_stack import (
    Stack,
    StackResult,
    expected_recipe,
    iter_stack,
    planes_to_do,
    stack_of,
)
from napari_samstar.core.amg.tile_store import TileStore, trim
from napari_samstar.core.errors import UserError
from napari_samstar.core.memory import release_memory
from napari_samstar.core.progress import Progress
from napari_samstar.core.results.outputs import write_result
from napari_samstar.core.results.recipe import make_recipe

if TYPE_CHECKING:
    from napari_samstar.api.batch_stack import Link
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.encoder import EmbeddingCache
    from napari_samstar.core.results.recipe import Recipe
    from napari_samstar.core.results.result import Result

_STEPS = 100  # of the progress bar for each image


@dataclass(frozen=True)
class ImageJob:
    """One image or stack of a batch.

    Attributes
    ----------
    name : str
        For messages.
    out : Path
        The folder of its result.
    open : callable
        Returns the image, with the recipe's mapping; UserError where it cannot be read.
    """

    name: str
    out: Path
    open: Callable[[], LoadedImage]


@dataclass(frozen=True)
class BatchOptions:
    """How images of a batch are read, and what is done again.

    Attributes
    ----------
    planes : str, optional
        Which planes of stacks, see `plane_text.parse_planes`; None takes all.
    link : {"none", "depth", "time"}, optional
        How planes are linked; None decides by their axis, see `batch_stack.stack_of`.
    redo : bool
        Whether images are done again whose result is there.
    """

    planes: str | None = None
    link: Link | None = None
    redo: bool = False


@dataclass(frozen=True, eq=False)
class Finished:
    """A job that has ended.

    Attributes
    ----------
    job : ImageJob
    state : {"done", "skipped", "failed"}
        Skipped where its result was there already.
    result : Result or StackResult, optional
        Where it is done; it is in the job's folder.
    recipe : Recipe, optional
        Where it is done or skipped.
    files : tuple of str
        Names of the files in the folder.
    problem : str
        Why it failed, one sentence.
    seconds : float
        Time it took since its turn came.
    """

    job: ImageJob
    state: Literal["done", "skipped", "failed"]
    result: Result | StackResult | None = None
    recipe: Recipe | None = None
    files: tuple[str, ...] = ()
    problem: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class _Single:
    job: ImageJob
    begun: BegunPlane


@dataclass(frozen=True, eq=False)
class _Several:
    job: ImageJob
    stack: Stack


def iter_batch(
    recipe: Recipe,
    jobs: Sequence[ImageJob],
    model: LoadedModel,
    cache: EmbeddingCache,
    options: BatchOptions | None = None,
    decoder: Decoder | None = None,
) -> Generator[Progress | Finished, None, None]:
    """Repeat a recipe on images and stacks; yields each job when it has ended, in their order.

    An image that cannot be read or segmented does not stop the others.

    Parameters
    ----------
    model : LoadedModel
        With the recipe's weights, see `Recipe.check_model`.
    decoder : Decoder, optional
        By default tiles are decoded in this process.

    Raises
    ------
    BatchStopped
        Where the others cannot be done either, such as when a cluster is lost.
    """
    trim()
    batch = Batch(recipe, model, cache, decoder or InProcess())
    options = options or BatchOptions()

    def has_room(newest: _Single | _Several | Finished) -> bool:
        return isinstance(newest, _Single) and batch.decoder.has_room()

    opened = begun_ahead(jobs, lambda job: _opened(job, batch, options), has_room)
    for k in range(len(jobs)):
        yield Progress(_STEPS * k, _STEPS * len(jobs), jobs[k].name)
        one = next(opened)
        if isinstance(one, Finished):
            yield one
            continue
        work = _single(one, batch) if isinstance(one, _Single) else _several(one, batch)
        yield (yield from _ended(one.job, work, k, len(jobs)))
        del one, work
        release_memory()


def _ended(
    job: ImageJob, work: Generator[Progress, None, Finished], k: int, n: int
) -> Generator[Progress, None, Finished]:
    """Run the work on the k-th of n jobs; its progress is a share of the whole one's."""
    try:
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                found: Finished = end.value
                return found
            share = step.done / step.total if step.total else 0.0
            text = f"{job.name}: {step.text}"
            yield Progress(_STEPS * k + round(_STEPS * share), _STEPS * n, text)
    except BatchStopped:
        raise
    except UserError as error:
        return Finished(job, "failed", problem=str(error))
    finally:
        work.close()


def _opened(job: ImageJob, batch: Batch, options: BatchOptions) -> _Single | _Several | Finished:
    """Read an image and begin with it, unless its result is there or it cannot be read."""
    try:
        image = job.open()
        planes = planes_to_do(image, options.planes)
        if len(planes) > 1:
            stack = stack_of(image, planes, options.link)
            known = None if options.redo else recipe_in(job.out)
            if known is not None and known.config == batch.recipe.config:
                wanted, stores = expected_recipe(stack, batch)
                if wanted is not None and is_there(job.out, wanted):
                    return _skipped(job, known, stores)
            return _Several(job, stack)
        image = image.at(planes[0] if planes else None)
        micrograph = prepare_plane(image, batch.recipe)
        if not options.redo and is_there(job.out, _expected(micrograph, batch)):
            store = TileStore.of(micrograph, batch.recipe.config, batch.model)
            return _skipped(job, recipe_in(job.out), [store])
        return _Single(job, begin(image, micrograph, batch))
    except BatchStopped:
        raise
    except UserError as error:
        return Finished(job, "failed", problem=str(error))


def _skipped(job: ImageJob, recipe: Recipe | None, stores: Sequence[TileStore]) -> Finished:
    """Return that a result is there; a run killed just after it was written left its tiles."""
    for store in stores:
        store.remove()
    return Finished(job, "skipped", recipe=recipe)


def _expected(micrograph: Micrograph, batch: Batch) -> Recipe:
    """Return the recipe that the result on an image will have."""
    recipe = batch.recipe
    same = micrograph.key == recipe.image.get("key")
    edits = (recipe.pinned, recipe.dropped) if same else ()
    return make_recipe(micrograph, batch.model, recipe.config, recipe.tuning, *edits)


def _single(one: _Single, batch: Batch) -> Generator[Progress, None, Finished]:
    start = time.perf_counter()
    with whole(one.job.out) as folder:
        result = yield from one.begun.finish(batch.recipe)
        files = write_result(result, folder)
    one.begun.store.remove()
    seconds = time.perf_counter() - start
    return Finished(one.job, "done", result, result.recipe, tuple(files), seconds=seconds)


def _several(one: _Several, batch: Batch) -> Generator[Progress, None, Finished]:
    start = time.perf_counter()
    done: list[TileStore] = []
    with whole(one.job.out) as folder:
        result = yield from iter_stack(one.stack, batch, folder, done)
        files = sorted(each.name for each in folder.iterdir())
    for store in done:
        store.remove()
    seconds = time.perf_counter() - start
    return Finished(one.job, "done", result, result.recipe, tuple(files), seconds=seconds)
