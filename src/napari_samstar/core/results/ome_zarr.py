"""Label images too large for memory, written window by window as OME-Zarr (version 0.5)."""

from __future__ import annotations

import contextlib
import errno
import shutil
import uuid
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core import interrupt, progress
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.ome_zarr import is_zarr, open_node
from napari_samstar.core.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Generator

CHUNK = 1024
"""Rows and columns of a chunk; a chunk of int32 labels is 4 MiB before compression."""

_OURS = "napari_samstar"
"""Name of our own attributes; a finished image without them is never replaced."""

_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_UNITS = {"nm": "nanometer", "µm": "micrometer"}


class LabelsWriter:
    """A label image on disk, written chunk by chunk, by several processes where needed.

    Until `finish` it has a temporary name, such as ``labels.ome.zarr.part``. It is pickled as its
    path. Processes may write at the same time, though never the same chunk.

    >>> writer = LabelsWriter.create("labels.ome.zarr", (5, 9000, 9000), "ZYX", unit="µm",
    ...                              pixel_size=(0.1, 0.1), z_step=0.5)
    >>> writer.write((2,), 1024, 0, block)
    >>> writer.finish()

    Attributes
    ----------
    path : Path
        Where the image will be.
    part : Path
        Where it is until it is finished.
    """

    def __init__(self, path: str | Path) -> None:
        """Name an image that exists already; see `create` and `reopen`."""
        self.path = Path(path).expanduser().absolute()
        self.part = self.path.with_name(f"{self.path.name}.part")

    def __reduce__(self) -> Any:
        return LabelsWriter, (self.path,)

    @classmethod
    def create(
        cls,
        path: str | Path,
        shape: Sequence[int],
        axes: str = "",
        *,
        pixel_size: tuple[float, float] | None = None,
        unit: str = "px",
        z_step: float | None = None,
        frame_time: float | None = None,
        chunk: int = CHUNK,
        dtype: Any = np.int32,
        key: str = "",
    ) -> LabelsWriter:
        """Start an empty label image; an unfinished one of the same path is deleted.

        Parameters
        ----------
        path : str or Path
            A folder to be. A label image that this class wrote is replaced at the end.
        shape : sequence of int
            (..., H, W), at most three axes before rows and columns.
        axes : str
            One letter per axis, see `LoadedImage.axes`. If those before rows and columns are not
            different letters out of T, C and Z, they are called Z, TZ or TCZ. The file has them in
            the order T, C, Z that OME-Zarr asks for.
        pixel_size : tuple of float, optional
            (row, col) in `unit`.
        unit : str
            "nm", "µm" or "px".
        z_step, frame_time : float, optional
            Distance between planes in `unit`, and between frames in s.
        chunk : int
            Rows and columns of a chunk; along other axes its length is 1.
        dtype : dtype
            Integer type of the labels.
        key : str
            What the labels come from, such as a hash of image and settings; see `reopen`.

        Raises
        ------
        UserError
            If the folder around it is missing or read-only, the disk is full, or at `path` there
            is something that this class did not write.
        """
        writer = cls(path)
        letters = _letters(axes, len(shape))
        known = _calibration(letters, pixel_size, unit, z_step, frame_time)
        own = {"axes": letters, "key": key, "chunk": chunk, "scales": known}
        with _told(writer.path):
            _make_room(writer.path, writer.part)
            group = _new_group(writer.part)
            order = _stored_order(letters)
            stored = tuple(int(shape[k]) for k in order)
            _add_level(group, 0, stored, chunk, np.dtype(dtype), "".join(letters[k] for k in order))
            group.attrs.update({_OURS: own, "ome": _metadata(own, 1, writer.path)})
        return writer

    @classmethod
    def reopen(cls, path: str | Path, key: str | None = None) -> LabelsWriter | None:
        """Return the unfinished label image of `path`, to go on with it; None if there is none.

        Parameters
        ----------
        key : str, optional
            None is also returned where the image was created with another key.
        """
        writer = cls(path)
        try:
            found = writer._own["key"] if writer.shape else None
        except Exception:  # nothing there, or killed while it was created: zarr raises many kinds
            return None
        return writer if key in (None, found) else None

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., H, W), in the order given to `create`."""
        order = _stored_order(self.axes)
        return tuple(int(self._finest.shape[order.index(k)]) for k in range(len(order)))

    @property
    def axes(self) -> str:
        """One letter per axis, in the order given to `create`."""
        return str(self._own["axes"])

    @property
    def chunk(self) -> int:
        """Rows and columns of a chunk."""
        return int(self._own["chunk"])

    def write(self, plane: tuple[int, ...], row: int, col: int, block: Any) -> None:
        """Write labels of one plane.

        Parameters
        ----------
        plane : tuple of int
            Place along each axis before rows and columns, in the order given to `create`.
        row, col : int
            First row and column of the block: multiples of the chunk.
        block : array
            Integers, (h, w). It ends where a chunk or the image ends, so that no two blocks share
            a chunk.

        Raises
        ------
        ValueError
            For a block that does not fit or is not aligned to chunks, a plane that does not exist,
            and labels that the stored type cannot hold.
        UserError
            If the disk is full or the image is gone.
        """
        block = np.asarray(block)
        rows, cols = (
            _aligned(start, length, size, self.chunk)
            for start, length, size in zip((row, col), block.shape, self.shape[-2:], strict=True)
        )
        limits = np.iinfo(self._finest.dtype)
        if not limits.min <= int(block.min()) <= int(block.max()) <= limits.max:
            raise ValueError(f"{limits.dtype} does not hold {block.min()} to {block.max()}")
        index = (*self._stored_plane(plane), rows, cols)
        with _told(self.path):
            # zarr would write the chunk beside an image that is finished or deleted by now.
            if not is_zarr(self.part):
                raise UserError(f"{self.part.name} is gone: start again.")
            self._finest[index] = block

    def is_written(self, plane: tuple[int, ...], row: int, col: int) -> bool:
        """Return whether the chunk that has a row and column of a plane was written."""
        place = (*self._stored_plane(plane), row // self.chunk, col // self.chunk)
        name: str = self._finest.metadata.encode_chunk_key(place)
        return (self.part / "0" / name).is_file()

    def finish(self) -> Path:
        """Build the coarser levels and give the image its name; see `iter_finish`."""
        return progress.run(self.iter_finish())

    def iter_finish(self) -> Generator[Progress, None, Path]:
        """Build the coarser levels and give the image its name, yielding progress.

        Each level has every second row and column of the one before, until one chunk holds a
        plane. Four chunks are in memory at a time. Chunks that were not written are 0.

        Returns
        -------
        Path
            `path`, which exists now.

        Raises
        ------
        UserError
            If the disk is full or the image is gone.
        """
        with _told(self.path):
            fine = self._finest
            shapes = _level_shapes(fine.shape, self.chunk)
            total = sum(len(_chunk_starts(shape, self.chunk)) for shape in shapes[1:])
            done = 0
            for level, shape in enumerate(shapes[1:], start=1):
                letters = "".join(self.axes[k] for k in _stored_order(self.axes))
                coarse = _add_level(self._group, level, shape, self.chunk, fine.dtype, letters)
                for start in _chunk_starts(shape, self.chunk):
                    interrupt.check()
                    _halve(fine, coarse, start, self.chunk)
                    done += 1
                    yield Progress(done, total, "Building resolution levels")
                fine = coarse
            self._group.attrs["ome"] = _metadata(self._own, len(shapes), self.path)
            _publish(self.part, self.path)
        return self.path

    @cached_property
    def _group(self) -> Any:
        import zarr  # 0.3 s, needed by few results

        return zarr.open_group(self.part, mode="r+")

    @cached_property
    def _own(self) -> dict[str, Any]:
        """What `create` was given."""
        own: dict[str, Any] = self._group.attrs[_OURS]
        return own

    @cached_property
    def _finest(self) -> Any:
        """The array of the finest level; chunks of zeros are stored too, see `is_written`."""
        return self._group["0"].with_config({"write_empty_chunks": True})

    def _stored_plane(self, plane: tuple[int, ...]) -> tuple[int, ...]:
        """Return the place of a plane along the stored axes."""
        sizes = self.shape[:-2]
        inside = len(plane) == len(sizes) and all(
            0 <= place < size for place, size in zip(plane, sizes, strict=True)
        )
        if not inside:
            raise ValueError(f"plane {plane} does not exist in planes of {sizes}")
        return tuple(plane[k] for k in _stored_order(self.axes)[:-2])


def _letters(axes: str, n: int) -> str:
    """Return one letter for each of `n` axes, all of them different and out of TCZYX."""
    leading = axes[:-2] if len(axes) == n else ""
    if len(leading) == n - 2 == len(set(leading)) and set(leading) <= set("TCZ"):
        return f"{leading}YX"
    try:
        return {2: "", 3: "Z", 4: "TZ", 5: "TCZ"}[n] + "YX"
    except KeyError:
        raise ValueError(f"labels have 2 to 5 axes, not {n}") from None


def _stored_order(letters: str) -> tuple[int, ...]:
    """Return the position in `letters` of each stored axis: OME-Zarr asks for T, C, Z, Y, X."""
    return tuple(sorted(range(len(letters)), key=lambda k: "TCZYX".index(letters[k])))


def _calibration(
    letters: str,
    pixel_size: tuple[float, float] | None,
    unit: str,
    z_step: float | None,
    frame_time: float | None,
) -> dict[str, tuple[float, str]]:
    """Return the size of a step along each axis that has one, and OME-Zarr's name of its unit."""
    found: dict[str, tuple[float, str]] = {}
    if unit in _UNITS:
        steps = {"Z": z_step}
        if pixel_size is not None:
            steps |= {"Y": pixel_size[0], "X": pixel_size[1]}
        found = {axis: (float(s), _UNITS[unit]) for axis, s in steps.items() if s is not None}
    if frame_time is not None:
        found["T"] = float(frame_time), "second"
    return {axis: step for axis, step in found.items() if axis in letters}


def _metadata(own: dict[str, Any], n_levels: int, path: Path) -> dict[str, Any]:
    """Return the OME metadata of a label image with `n_levels` levels."""
    from ome_zarr_models.v05.axes import Axis  # 0.6 s, needed by few results
    from ome_zarr_models.v05.image_label import ImageLabelAttrs
    from ome_zarr_models.v05.image_label_types import Label
    from ome_zarr_models.v05.multiscales import Dataset, Multiscale

    letters = [own["axes"][k] for k in _stored_order(own["axes"])]
    steps = [own["scales"].get(letter, (1.0, None)) for letter in letters]
    axes = [
        Axis(name=letter.lower(), type=_TYPES[letter], unit=unit)
        for letter, (_, unit) in zip(letters, steps, strict=True)
    ]
    datasets = []
    for level in range(n_levels):
        # The kept pixel is the first of two, so that a level only has a scale, no translation.
        factors = [2**level if letter in "YX" else 1 for letter in letters]
        scale = [step * factor for (step, _), factor in zip(steps, factors, strict=True)]
        datasets.append(Dataset.build(path=str(level), scale=scale, translation=None))
    name = path.name.removesuffix(".zarr").removesuffix(".ome")
    multiscale = Multiscale(axes=axes, datasets=tuple(datasets), name=name, type="nearest")
    label = Label(version="0.5")
    attributes = ImageLabelAttrs(version="0.5", multiscales=[multiscale], **{"image-label": label})
    found: dict[str, Any] = attributes.model_dump(mode="json", by_alias=True, exclude_none=True)
    return found


def _new_group(part: Path) -> Any:
    import zarr  # 0.3 s, needed by few results

    return zarr.create_group(part, zarr_format=3)


def _add_level(
    group: Any, level: int, shape: tuple[int, ...], chunk: int, dtype: Any, letters: str
) -> Any:
    """Create the array of a level; one that an earlier attempt left is replaced."""
    return group.create_array(
        str(level),
        shape=shape,
        chunks=(*[1] * (len(shape) - 2), chunk, chunk),
        dtype=dtype,
        fill_value=0,
        dimension_names=list(letters.lower()),
        overwrite=True,
    )


def _level_shapes(finest: tuple[int, ...], chunk: int) -> list[tuple[int, ...]]:
    """Return the shape of each level, until one chunk holds a plane."""
    shapes = [tuple(finest)]
    while max(shapes[-1][-2:]) > chunk:
        *leading, rows, cols = shapes[-1]
        shapes.append((*leading, -(-rows // 2), -(-cols // 2)))
    return shapes


def _chunk_starts(shape: tuple[int, ...], chunk: int) -> list[tuple[int, ...]]:
    """Return the first index of each chunk of a level."""
    steps = [1] * (len(shape) - 2) + [chunk, chunk]
    return list(product(*(range(0, n, step) for n, step in zip(shape, steps, strict=True))))


def _halve(fine: Any, coarse: Any, start: tuple[int, ...], chunk: int) -> None:
    """Write one chunk of a level: every second row and column of the level before."""
    *plane, row, col = start
    block = fine[(*plane, slice(2 * row, 2 * (row + chunk)), slice(2 * col, 2 * (col + chunk)))]
    coarse[(*plane, slice(row, row + chunk), slice(col, col + chunk))] = block[::2, ::2]


def _aligned(start: int, length: int, size: int, chunk: int) -> slice:
    """Return where a block lies along one axis; ValueError where it shares a chunk with others."""
    end = start + length
    if length < 1 or start % chunk or not 0 <= start < end <= size:
        raise ValueError(f"{start} to {end} of {size} does not start at a multiple of {chunk}")
    if end % chunk and end != size:
        raise ValueError(f"{start} to {end} of {size} does not end with a chunk of {chunk}")
    return slice(start, end)


def _make_room(path: Path, part: Path) -> None:
    """Delete an unfinished image; UserError where `path` cannot be written or is not ours."""
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent}: create it or choose another.")
    if path.exists() and not _is_ours(path):
        raise UserError(f"{path} exists and is not a result of samstar: choose another name.")
    if part.is_dir():
        shutil.rmtree(part)


def _is_ours(path: Path) -> bool:
    try:
        return _OURS in open_node(path).attrs
    except Exception:  # zarr raises many kinds for what is not zarr
        return False


def _publish(part: Path, path: Path) -> None:
    """Give a finished image its name; an older one is out of the way first, then deleted."""
    old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    if path.exists():
        path.rename(old)
    part.rename(path)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"The unfinished {path.name} is gone: start again.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
            message = f"The disk is full, {path.name} was not written: free some space."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            message = f"{path.parent} cannot be written to: choose another folder."
        else:
            message = f"{path} could not be written ({error.strerror or error}): try another place."
        raise UserError(message) from error
