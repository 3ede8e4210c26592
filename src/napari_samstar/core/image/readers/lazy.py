"""An array in a file or folder of which only what is indexed is read."""

from __future__ import annotations

import math
import operator
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.image.planes import Array


class Source(Protocol):
    """Where the values of a `LazyArray` are; small, and pickled with it."""

    @property
    def path(self) -> Path:
        """The file or folder, for error messages."""

    def open(self) -> tuple[Any, Callable[[], None]]:
        """Return an array that takes integers and slices, and what closes it."""


class IndexedArray:
    """What an array is beside its shape, its type and what indexing gives.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values; napari finds out by it which of several levels is the finest."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all values once they are read."""
        return int(self.size * self.dtype.itemsize)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        everything = self[...]
        return everything if dtype is None else everything.astype(dtype)


class LazyArray(IndexedArray):
    """An array of which only what is indexed is read: ``lazy[2, 0:512, 512:1024]``.

    An index holds integers, slices with positive steps and at most one Ellipsis; the answer is a
    NumPy array, perhaps read-only. Threads may share it. It is pickled as its source, so another
    process opens the file by itself, at the first access.

    Attributes
    ----------
    source : Source
    shape : tuple of int
    dtype : numpy.dtype
        Of the stored values.

    Raises
    ------
    UserError
        While indexing, where the content cannot be decoded or the file is gone.
    """

    def __init__(
        self,
        source: Source,
        shape: tuple[int, ...],
        dtype: Any,
        order: tuple[int, ...] = (),
    ) -> None:
        """Name the array; nothing is opened yet.

        Parameters
        ----------
        shape : tuple of int
            As it is indexed, after `order`.
        order : tuple of int
            The stored axis that each axis shows, as in `numpy.transpose`; empty for no change.
        """
        self.source = source
        self.shape = tuple(int(n) for n in shape)
        self.dtype = np.dtype(dtype)
        self._order = tuple(order) or tuple(range(len(shape)))
        self._lock = threading.Lock()
        self._array: Any = None
        self._process = -1

    def __reduce__(self) -> Any:
        return LazyArray, (self.source, self.shape, self.dtype, self._order)

    def __getitem__(self, index: Any) -> Array:
        wanted = full_index(index, self.shape)
        stored: list[int | slice] = [0] * self.ndim
        for axis, one in zip(self._order, wanted, strict=True):
            stored[axis] = one
        try:
            block = np.asarray(self._opened()[tuple(stored)])
        except (UserError, MemoryError):
            raise
        except FileNotFoundError:
            raise UserError(
                f"{self.source.path.name} is gone or incomplete: put it back, or open it again."
            ) from None
        except Exception as error:  # codecs raise many kinds
            raise damaged(self.source.path, error) from error
        axes = [a for a, i in zip(self._order, wanted, strict=True) if isinstance(i, slice)]
        return block.transpose([sorted(axes).index(axis) for axis in axes])

    def _opened(self) -> Any:
        with self._lock:
            if self._process != os.getpid():  # a forked process would move its parent's file
                self._array, close = self.source.open()
                self._process = os.getpid()
                weakref.finalize(self, close)
            return self._array


def full_index(index: Any, shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    """Return an index with one integer or slice for each axis, none negative.

    Raises
    ------
    IndexError
        For an integer outside of its axis, too many indices, a step below 1, and anything that is
        neither an integer, a slice nor Ellipsis.
    """
    given = list(index) if isinstance(index, tuple) else [index]
    if not any(one is Ellipsis for one in given):
        given.append(Ellipsis)
    place = next(k for k, one in enumerate(given) if one is Ellipsis)
    n_missing = len(shape) - len(given) + 1
    if n_missing < 0:
        raise IndexError(f"too many indices for {len(shape)} axes")
    given[place : place + 1] = [slice(None)] * n_missing
    return tuple(_one_index(one, n) for one, n in zip(given, shape, strict=True))


def _one_index(one: Any, length: int) -> int | slice:
    if isinstance(one, slice):
        start, stop, step = one.indices(length)
        if step < 1:
            raise IndexError("a step must be positive")
        return slice(start, max(start, stop), step)
    try:
        place = operator.index(one)
    except TypeError:
        raise IndexError(f"an index must be an integer or a slice, not {one!r}") from None
    if not -length <= place < length:
        raise IndexError(f"index {place} does not exist along an axis of length {length}")
    return place % length


def damaged(path: Path, error: object) -> UserError:
    """Return the error for a file whose content cannot be decoded."""
    return UserError(f"{path.name} is damaged or not a complete image ({error}): get a fresh copy.")
