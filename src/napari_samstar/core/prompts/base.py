"""What a prompt is, and what proposes prompts for an image.

A prompt source of another package is added through the entry point group
`napari_samstar.prompt_sources`, which names an object like `PromptSource`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Backend, Embedding


class ImpossibleConfig(UserError):
    """A configuration for which SAM has nothing to do on this image, as upstream would crash."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """A set of n prompts, each for one object; (x, y) in px of the crop.

    Attributes
    ----------
    points : ndarray of float64, shape (n, k, 2), optional
        k points for each prompt.
    labels : ndarray of int64, shape (n, k), optional
        1 inside the object, 0 outside, -1 padding. All 1 where it is not given.
    boxes : ndarray of float64, shape (n, 4), optional
        (x0, y0, x1, y1). SAM answers a box with one mask, points alone with three.
    """

    points: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | None = None
    boxes: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Check the shapes, and fill in the labels."""
        if self.points is None and self.boxes is None:
            raise ValueError("prompts need points, boxes or both")
        if self.points is not None:
            points = np.asarray(self.points, dtype=np.float64)
            if points.ndim != 3 or points.shape[2] != 2:
                raise ValueError(f"points must have shape (n, k, 2), not {points.shape}")
            labels = np.ones(points.shape[:2], np.int64) if self.labels is None else self.labels
            labels = np.asarray(labels, dtype=np.int64)
            if labels.shape != points.shape[:2]:
                raise ValueError(f"labels must have shape {points.shape[:2]}, not {labels.shape}")
            object.__setattr__(self, "points", points)
            object.__setattr__(self, "labels", labels)
        if self.boxes is not None:
            boxes = np.asarray(self.boxes, dtype=np.float64)
            if boxes.ndim != 2 or boxes.shape[1] != 4:
                raise ValueError(f"boxes must have shape (n, 4), not {boxes.shape}")
            object.__setattr__(self, "boxes", boxes)
        given = [len(x) for x in (self.points, self.boxes) if x is not None]
        if len(set(given)) > 1:
            raise ValueError("give as many boxes as sets of points")

    @classmethod
    def single_points(cls, xy: NDArray[np.float64]) -> Prompts:
        """Return one prompt for each point of shape (n, 2)."""
        return cls(np.asarray(xy, dtype=np.float64).reshape(-1, 1, 2))

    def __len__(self) -> int:
        given = self.boxes if self.points is None else self.points
        assert given is not None
        return len(given)

    @property
    def multimask(self) -> bool:
        """Whether each prompt is answered by three masks instead of one."""
        return self.boxes is None

    @property
    def places(self) -> NDArray[np.float64]:
        """One place (x, y) for each prompt, shape (n, 2): its first point, or its box's centre."""
        if self.points is not None:
            return np.asarray(self.points[:, 0])
        assert self.boxes is not None
        return np.asarray((self.boxes[:, :2] + self.boxes[:, 2:]) / 2)

    def part(self, rows: slice) -> Prompts:
        """Return some of the prompts."""
        return self.take(rows)

    def take(self, rows: slice | NDArray[np.int64]) -> Prompts:
        """Return the prompts that a slice or indices choose."""
        return Prompts(
            None if self.points is None else self.points[rows],
            None if self.labels is None else self.labels[rows],
            None if self.boxes is None else self.boxes[rows],
        )


@dataclass(frozen=True, eq=False)
class GivenMasks:
    """A set of n masks that are candidates without being asked of SAM.

    Attributes
    ----------
    levels : tuple of ndarray of float32, length n, shape (h, w) each
        What logits are to a mask of SAM: the mask is where they are above 0, and its stability is
        measured on them. Minus infinity where the mask would not be at any cut-off.
    corners : ndarray of int64, shape (n, 2)
        (x, y) of each map's upper left pixel, px of the crop.
    """

    levels: tuple[NDArray[np.float32], ...]
    corners: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.levels)

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """The tight boxes (x0, y0, x1, y1), shape (n, 4), half open, px of the crop."""
        boxes = np.zeros((len(self), 4))
        for k, (levels, (x, y)) in enumerate(zip(self.levels, self.corners.tolist(), strict=True)):
            rows, cols = np.nonzero(levels > 0)
            if len(rows):
                boxes[k] = cols.min(), rows.min(), cols.max() + 1, rows.max() + 1
            boxes[k] += x, y, x, y
        return boxes

    @property
    def places(self) -> NDArray[np.float64]:
        """The centre (x, y) of each mask's box, shape (n, 2)."""
        return np.asarray((self.boxes[:, :2] + self.boxes[:, 2:]) / 2)

    def take(self, rows: NDArray[np.int64]) -> GivenMasks:
        """Return the masks that indices choose."""
        return GivenMasks(tuple(self.levels[k] for k in rows.tolist()), self.corners[rows])


@dataclass(frozen=True, eq=False)
class Proposals:
    """All that a source proposes for a crop.

    Attributes
    ----------
    groups : tuple of Prompts
        Each is decoded by itself: points are answered by three masks, boxes by one.
    given : GivenMasks, optional
        Masks that compete with SAM's answers.
    """

    groups: tuple[Prompts, ...]
    given: GivenMasks | None = None

    @classmethod
    def of(cls, found: Prompts | Proposals) -> Proposals:
        """Return what a source returned, which may be prompts of one group alone."""
        return cls((found,)) if isinstance(found, Prompts) else found

    def where(self, chosen: Callable[[NDArray[np.float64]], NDArray[np.int64]]) -> Proposals:
        """Return the prompts and masks that `chosen` picks by their places (x, y), as indices."""
        groups = tuple(group.take(chosen(group.places)) for group in self.groups)
        given = self.given
        return Proposals(groups, given and given.take(chosen(given.places)))

    @property
    def n_prompts(self) -> int:
        """Number of prompts of all groups."""
        return sum(len(group) for group in self.groups)


class PromptSettings(Protocol):
    """The settings that prompt sources read; `AmgConfig` has them."""

    @property
    def points_per_side(self) -> int | None:
        """See `AmgConfig`."""

    @property
    def crop_n_points_downscale_factor(self) -> int:
        """See `AmgConfig`."""

    @property
    def point_grids(self) -> tuple[tuple[tuple[float, float], ...], ...] | None:
        """See `AmgConfig`."""

    @property
    def boxes(self) -> tuple[tuple[float, ...], ...]:
        """See `AmgConfig`."""


@dataclass(frozen=True, eq=False)
class Crop:
    """What a prompt source sees of an image.

    Attributes
    ----------
    rgb : ndarray of uint8, shape (h, w, 3)
        Its pixels, also where SAM is shown another version of them.
    box : (x0, y0, x1, y1)
        Where it lies in the image, px; the whole image, or one crop of a zoom level.
    image_shape : (int, int)
        Rows and columns of the whole image.
    backend : Backend
    embedding : Embedding
        Of this crop as it is shown to SAM, by this backend.
    """

    rgb: NDArray[np.uint8]
    box: tuple[int, int, int, int]
    image_shape: tuple[int, int]
    backend: Backend
    embedding: Embedding


class PromptSource(Protocol):
    """Proposes where a model is prompted.

    Attributes
    ----------
    name : str
        The value of the setting `prompts` that chooses it; stored in recipes.
    label, help : str
        A few words, and one sentence, for the panels.
    """

    name: str
    label: str
    help: str

    def key(self, settings: PromptSettings, layer: int, sees_centres: bool) -> Hashable:
        """Return all that the prompts depend on besides image, crop and model.

        Equal keys mean equal prompts, so candidates are decoded once for each.

        Parameters
        ----------
        layer : int
            0 for the whole image, 1 and more for crops of zoom levels.
        sees_centres : bool
            Whether the model can propose centres of objects; see `Backend.sees_centres`.

        Raises
        ------
        ImpossibleConfig
            Where the settings leave no prompt.
        """

    def expected(self, key: Hashable) -> int:
        """Return how many prompts there will be, or usually are; for estimates of time."""

    def prompts(self, key: Hashable, crop: Crop) -> Prompts | Proposals:
        """Return the prompts for one crop, in groups where they are of several kinds."""
