"""Repeat a recipe on the planes of a stack, and give its objects one id through all planes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_samstar.api.batch_folder import LINKS
from napari_samstar.api.batch_labels import LARGEST_TIFF, TiffLabels, ZarrLabels
from napari_samstar.api.batch_plane import Batch, BegunPlane, begin, begun_ahead, prepare_plane
from napari_samstar.core.amg.tile_store import READ_ERRORS, TileStore
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.axes import channel_axis, named_channel_axis, projected_axis
from napari_samstar.core.image.plane_text import parse_planes
from napari_samstar.core.linking.linker import Linker
from napari_samstar.core.linking.settings import LinkSettings
from napari_samstar.core.linking.solids import SolidMeasurer
from napari_samstar.core.linking.tracks import TrackMeasurer
from napari_samstar.core.progress import Progress
from napari_samstar.core.results import figures
from napari_samstar.core.results.outputs import (
    LARGEST_PICTURE,
    MEASUREMENTS,
    OVERLAY,
    RECIPE,
)
from napari_samstar.core.results.recipe import make_recipe
from napari_samstar.core.results.tables import write_rows, write_table

if TYPE_CHECKING:
    from napari_samstar.api.batch_labels import StackLabels
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.linking.settings import LinkedPlane, LinkEvent, Mode
    from napari_samstar.core.linking.stack import Measurer
    from napari_samstar.core.masks.painting import Labels
    from napari_samstar.core.results.recipe import Recipe

Link = Literal["none", "depth", "time"]
Table = dict[str, NDArray[Any]]
Index = tuple[int, ...]

PLANE = "plane"
"""Name of the file in a plane's store that holds its labels and measurements."""

_BY_AXIS: dict[str, Mode] = {"Z": "depth", "T": "time"}


@dataclass(frozen=True, eq=False)
class Stack:
    """Planes of an image that are segmented one by one.

    Attributes
    ----------
    image : LoadedImage
    planes : tuple of tuple of int
        In the order of the label stack, ascending.
    mode : {"depth", "time"}, optional
        How objects of neighbouring planes are linked; None leaves each plane its own ids.
    axis : int
        The axis that is linked: the last one along which the planes differ.
    notes : tuple of str
        What was decided, one sentence each.
    """

    image: LoadedImage
    planes: tuple[Index, ...]
    mode: Mode | None
    axis: int
    notes: tuple[str, ...] = ()

    @property
    def outer(self) -> tuple[int, ...]:
        """The other axes along which the planes differ; only planes alike along them are linked."""
        return tuple(axis for axis in _varying(self.planes) if axis != self.axis)

    @property
    def step(self) -> int | None:
        """Distance of neighbouring planes along the linked axis, in planes; None if it varies."""
        at = [plane[self.axis] for plane in self.planes]
        alike = [b - a for a, b, same in zip(at, at[1:], self._same_group(), strict=False) if same]
        return alike[0] if len(set(alike)) == 1 else None

    def group(self, plane: Index) -> Index:
        """Return what the planes that are linked with this one have in common."""
        return tuple(plane[axis] for axis in self.outer)

    def _same_group(self) -> list[bool]:
        groups = [self.group(plane) for plane in self.planes]
        return [a == b for a, b in itertools.pairwise(groups)]


@dataclass(frozen=True, eq=False)
class StackResult:
    """What a recipe finds in a stack; its labels are in a file.

    Attributes
    ----------
    recipe : Recipe
        What repeats it. Its image is the stack, with the key of all planes together.
    table : dict of str to ndarray
        One row for each object.
    n_planes : int
    notes : tuple of str
        What was decided, and why planes have no objects.
    """

    recipe: Recipe
    table: Table
    n_planes: int
    notes: tuple[str, ...]


# --- which planes, and how they are linked ------------------------------------------------------


def planes_to_do(image: LoadedImage, text: str | None) -> tuple[Index, ...]:
    """Return the planes of an image; one without numbers for an image of a single plane.

    Parameters
    ----------
    text : str, optional
        See `plane_text.parse_planes`; along axes without a letter in it all planes are meant. None
        takes all planes of one channel: that of the mapping, else that of its plane, else the
        first.
    """
    sizes = image.plane_sizes
    if text is not None:
        return parse_planes(text, sizes, image.axes, others="all")
    fixed = _fixed(image)
    channels = named_channel_axis(image.axes, len(sizes))
    held = image.mapping.plane
    if held is None or len(held) != len(sizes):
        held = tuple(0 if k == channels else n // 2 for k, n in enumerate(sizes))
    return tuple(
        itertools.product(*([held[k]] if k in fixed else range(n) for k, n in enumerate(sizes)))
    )


def _fixed(image: LoadedImage) -> set[int | None]:
    """Return the axes before rows and columns that are no planes: channels, and a projected one."""
    n = len(image.plane_sizes)
    fixed = {named_channel_axis(image.axes, n)}
    if image.mapping.channels:
        fixed.add(channel_axis(image.axes, n))
    if image.mapping.projection != "none":
        fixed.add(projected_axis(image.axes, n))
    return fixed


def stack_of(image: LoadedImage, planes: tuple[Index, ...], link: Link | None) -> Stack:
    """Return how planes of an image are linked.

    Parameters
    ----------
    link : {"none", "depth", "time"}, optional
        None decides by the name of the axis: Z is depth, T is time, others are not linked.

    Raises
    ------
    UserError
        Where a stack in depth and time shall be linked along the outer one of the two.
    """
    varying = _varying(planes)
    axis = varying[-1]
    letter = image.axes[axis : axis + 1]
    if link is None:
        notes = () if letter in _BY_AXIS else (
            "What its planes are is not known, so their objects are not linked: "
            "give --link depth or --link time.",
        )  # fmt: skip
        return Stack(image, planes, _BY_AXIS.get(letter), axis, notes)
    if link == "none":
        return Stack(image, planes, None, axis)
    if len(varying) > 1 and _BY_AXIS.get(letter, link) != link:
        raise UserError(
            f"The planes differ along {letter} too, which comes after the axis of --link {link}: "
            f"choose planes of one {letter} with --planes."
        )
    return Stack(image, planes, link, axis)


def _varying(planes: Sequence[Index]) -> list[int]:
    return [k for k, along in enumerate(zip(*planes, strict=True)) if len(set(along)) > 1]


# --- the work -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Plane:
    """A plane with its store; `begun` is None where it is finished, `store` where it cannot be."""

    image: LoadedImage
    key: str = ""
    store: TileStore | None = None
    begun: BegunPlane | None = None
    problem: str = ""


def stack_recipe(stack: Stack, keys: Sequence[str], micrograph: Micrograph, batch: Batch) -> Recipe:
    """Return what repeats the result of a stack.

    Parameters
    ----------
    keys : sequence of str
        The content keys of all planes; empty for one that cannot be segmented.
    micrograph : Micrograph
        One of the planes.
    """
    recipe = make_recipe(micrograph, batch.model, batch.recipe.config, batch.recipe.tuning)
    about = {
        **recipe.image,
        "name": stack.image.name,
        "key": hashlib.sha256("\n".join(keys).encode()).hexdigest(),
        "shape": [len(stack.planes), *micrograph.shape],
        "planes": [list(plane) for plane in stack.planes],
        "link": stack.mode or "none",
        "z_step": stack.image.z_step,
        "frame_time": stack.image.frame_time,
    }
    return recipe.model_copy(update={"image": about, "mapping": stack.image.mapping})


def expected_recipe(stack: Stack, batch: Batch) -> tuple[Recipe | None, list[TileStore]]:
    """Read all planes.

    Returns
    -------
    recipe : Recipe, optional
        That their result will have; None where it will have none.
    stores : list of TileStore
        Of the planes.
    """
    keys: list[str] = []
    stores: list[TileStore] = []
    shown = None
    for plane in stack.planes:
        try:
            shown = prepare_plane(stack.image.at(plane), batch.recipe)
        except UserError:
            keys.append("")
            continue
        keys.append(shown.key)
        stores.append(TileStore.of(shown, batch.recipe.config, batch.model))
    return (None if shown is None else stack_recipe(stack, keys, shown, batch)), stores


def iter_stack(
    stack: Stack, batch: Batch, folder: Path, done: list[TileStore]
) -> Generator[Progress, None, StackResult]:
    """Segment the planes one by one, link their objects and write the result into a folder.

    Finished planes and tiles are kept on disk until the caller removes what is in `done`.

    Raises
    ------
    UserError
        Where no plane can be segmented.
    """
    planes: list[_Plane] = []
    total = len(stack.planes)
    images = (stack.image.at(plane) for plane in stack.planes)
    has_room = batch.decoder.has_room
    for plane in begun_ahead(images, lambda image: _begin(image, batch), lambda _: has_room()):
        k = len(planes)
        yield Progress(k, total, f"Plane {k + 1} of {total}")
        if plane.begun is not None:
            yield from _segment(plane.begun, batch, Progress(k, total, f"Plane {k + 1} of {total}"))
        planes.append(dataclasses.replace(plane, begun=None))
        if plane.store is not None:
            done.append(plane.store)
    good = [k for k, plane in enumerate(planes) if not plane.problem]
    if not good:
        raise UserError(planes[0].problem)
    shown = min(good, key=lambda k: abs(k - total // 2))
    micrograph = prepare_plane(planes[shown].image, batch.recipe)
    return (yield from _write(stack, planes, batch, (shown, micrograph), folder))


def _begin(image: LoadedImage, batch: Batch) -> _Plane:
    try:
        micrograph = prepare_plane(image, batch.recipe)
    except UserError as error:
        return _Plane(image, problem=str(error))
    store = TileStore.of(micrograph, batch.recipe.config, batch.model)
    if _stored(store, micrograph.shape) is not None:
        return _Plane(image, micrograph.key, store)
    return _Plane(image, micrograph.key, store, begin(image, micrograph, batch))


def _segment(begun: BegunPlane, batch: Batch, at: Progress) -> Generator[Progress, None, None]:
    """Segment one plane and keep its labels and measurements in place of its tiles."""
    work = begun.finish(batch.recipe)
    while True:
        try:
            next(work)
        except StopIteration as end:
            result = end.value
            break
        yield at
    file = io.BytesIO()
    columns = {f"column_{k}": column for k, column in enumerate(result.table.values())}
    np.savez_compressed(file, labels=result.labels, names=np.array(list(result.table)), **columns)
    begun.store.write(PLANE, file.getvalue())
    if begun.store.read(PLANE) is None:
        raise UserError(
            f"Finished planes cannot be kept in {begun.store.folder.parent}: "
            "set SAMSTAR_CACHE to a folder that can be written to."
        )
    begun.store.keep_only(PLANE)


def _stored(store: TileStore, shape: tuple[int, int]) -> tuple[Labels, Table] | None:
    """Return labels and measurements of a finished plane; None where they are not there."""
    data = store.read(PLANE)
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            names = file["names"].tolist()
            table = {name: file[f"column_{k}"] for k, name in enumerate(names)}
            labels = file["labels"]
    except READ_ERRORS:
        return None
    return (labels, table) if labels.shape == shape else None


# --- linking and writing ------------------------------------------------------------------------


class StackLinker:
    """Links planes group by group, with ids that go on from one group to the next.

    Parameters
    ----------
    stack : Stack
        Its `mode` is not None.
    """

    def __init__(self, stack: Stack, micrograph: Micrograph) -> None:
        assert stack.mode is not None
        self._stack = stack
        self._micrograph = micrograph
        self._settings = LinkSettings(mode=stack.mode)
        self._group: Index | None = None
        self._linker = Linker(self._settings)
        self._measurer = self._new_measurer()
        self._before = self._most = 0  # ids used by earlier groups, and by all
        self._tables: list[Table] = []
        self._events: list[tuple[Index, LinkEvent]] = []

    def add(self, plane: Index, labels: Labels) -> Labels:
        """Link the next plane, and return its labels with the ids of the stack."""
        group = self._stack.group(plane)
        if group != self._group:
            self._close_group()
            self._group, self._before = group, self._most
            self._linker, self._measurer = Linker(self._settings), self._new_measurer()
        linked = _shifted(self._linker.add(labels), self._before)
        self._measurer.add(linked)
        self._events += [(group, event) for event in linked.events]
        self._most = max(self._most, int(linked.labels.max(initial=0)))
        return linked.labels

    def close(self) -> tuple[Table, list[dict[str, Any]]]:
        """Return the measurements of all objects, and what happened to ids, row by row."""
        self._close_group()
        table = {n: np.concatenate([t[n] for t in self._tables]) for n in self._tables[0]}
        rows = [
            {
                **dict(zip(self._outer_names(), group, strict=True)),
                "event": event.kind,
                "plane": event.plane,
                "parents": " ".join(map(str, event.parents)),
                "children": " ".join(map(str, event.children)),
            }
            for group, event in self._events
        ]
        return table, rows

    def _close_group(self) -> None:
        if self._group is None:
            return
        table = self._measurer.close()
        n = len(table["label"])
        outer = {
            name: np.full(n, at, dtype=np.int64)
            for name, at in zip(self._outer_names(), self._group, strict=True)
        }
        self._tables.append({**outer, **table})

    def _outer_names(self) -> list[str]:
        axes = self._stack.image.axes
        return [axes[k].lower() if k < len(axes) else f"axis_{k}" for k in self._stack.outer]

    def _new_measurer(self) -> Measurer:
        image, stack, shown = self._stack.image, self._stack, self._micrograph
        step = stack.step or 1
        if stack.mode == "time":
            time = image.frame_time and image.frame_time * step
            return TrackMeasurer(shown.pixel_size, shown.unit, time)
        if shown.pixel_size is None or image.z_step is None:
            return SolidMeasurer()
        return SolidMeasurer((image.z_step * step, *shown.pixel_size), shown.unit)


def _shifted(plane: LinkedPlane, by: int) -> LinkedPlane:
    """Return a linked plane with all ids increased."""
    if not by:
        return plane
    events = tuple(
        dataclasses.replace(
            event,
            parents=tuple(i + by for i in event.parents),
            children=tuple(i + by for i in event.children),
        )
        for event in plane.events
    )
    labels = np.where(plane.labels > 0, plane.labels + np.int32(by), 0).astype(np.int32)
    return dataclasses.replace(
        plane, labels=labels, events=events, ended=tuple(i + by for i in plane.ended)
    )


def _write(
    stack: Stack,
    planes: Sequence[_Plane],
    batch: Batch,
    shown: tuple[int, Micrograph],
    folder: Path,
) -> Generator[Progress, None, StackResult]:
    """Link the finished planes and write all files of the result."""
    position, micrograph = shown
    linker = None if stack.mode is None else StackLinker(stack, micrograph)
    written = _label_file(stack, micrograph, folder)
    tables: list[Table] = []
    for k, (plane, labels, table) in enumerate(_finished(stack, planes, micrograph.shape)):
        yield Progress(k, len(planes), f"Linking plane {k + 1} of {len(planes)}")
        linked = labels if linker is None else linker.add(plane, labels)
        written.add(k, linked)
        tables.append(_with_plane(table, k))
        if k == position:
            _write_overlay(linked, micrograph, folder / OVERLAY)
    yield Progress(len(planes), len(planes), "Writing the labels")
    written.close()
    table, events = (_joined(tables), None) if linker is None else linker.close()
    if events is not None:
        _write_events(events, folder / LINKS)
    write_table(table, folder / MEASUREMENTS)
    recipe = stack_recipe(stack, [plane.key for plane in planes], micrograph, batch)
    recipe.save(folder / RECIPE)
    return StackResult(recipe, table, len(planes), _notes(stack, planes, micrograph))


def _label_file(stack: Stack, micrograph: Micrograph, folder: Path) -> StackLabels:
    """Return what the labels are written to: OME-Zarr where the image is that, or large."""
    rows, cols = micrograph.shape
    path, n = stack.image.path, len(stack.planes)
    if 4 * n * rows * cols <= LARGEST_TIFF and not (path is not None and path.is_dir()):
        return TiffLabels(folder, n, micrograph)
    axes = [*stack.outer, stack.axis]
    sizes = tuple(len({plane[axis] for plane in stack.planes}) for axis in axes)
    if math.prod(sizes) != n:  # single planes here and there
        axes, sizes = [stack.axis], (n,)
    letters = "".join(stack.image.axes[axis : axis + 1] or "Z" for axis in axes)
    step = stack.step or 1
    z_step, frame_time = stack.image.z_step, stack.image.frame_time
    steps = z_step and z_step * step, frame_time and frame_time * step
    return ZarrLabels(folder, sizes, letters, micrograph, steps)


def _finished(
    stack: Stack, planes: Sequence[_Plane], shape: tuple[int, int]
) -> Iterator[tuple[Index, Labels, Table]]:
    """Yield index, labels and measurements of each plane; nothing for one that has none."""
    for index, plane in zip(stack.planes, planes, strict=True):
        if plane.store is None:
            yield index, np.zeros(shape, dtype=np.int32), {}
            continue
        found = _stored(plane.store, shape)
        if found is None:
            raise UserError(
                f"A finished plane is gone from {plane.store.folder}: run the command again."
            )
        yield index, *found


def _with_plane(table: Table, k: int) -> Table:
    n = len(next(iter(table.values()), ()))
    return {"plane": np.full(n, k, dtype=np.int64), **table}


def _joined(tables: Sequence[Table]) -> Table:
    """Return the rows of all tables; those of planes without a result have no columns."""
    full = [table for table in tables if len(table) > 1]
    return {name: np.concatenate([table[name] for table in full]) for name in full[0]}


def _write_events(events: Sequence[dict[str, Any]], path: Path) -> None:
    names = list(events[0]) if events else ["event", "plane", "parents", "children"]
    write_rows(events, names, path)


def _write_overlay(labels: Labels, micrograph: Micrograph, path: Path) -> None:
    step = -(-max(micrograph.shape) // LARGEST_PICTURE) if micrograph.is_large else 1
    n_objects = len(np.unique(labels[labels > 0]))
    figures.save(
        figures.overlay_figure(micrograph, labels[::step, ::step], step=step, n_objects=n_objects),
        path,
    )


def _notes(stack: Stack, planes: Sequence[_Plane], micrograph: Micrograph) -> tuple[str, ...]:
    image = stack.image
    notes = [*image.notes, *stack.notes]
    if stack.mode == "depth" and micrograph.pixel_size is not None and image.z_step is None:
        notes.append(
            "The distance of its planes is not known, so volumes are in voxels: "
            "give --plane-distance."
        )
    for index, plane in zip(stack.planes, planes, strict=True):
        if plane.problem:
            notes.append(f"Plane {','.join(map(str, index))} has no objects: {plane.problem}")
    return tuple(notes)
