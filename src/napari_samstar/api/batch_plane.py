"""One plane of a batch: decoded tile by tile, here or elsewhere, with finished tiles on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from napari_samstar.api.pipeline import _with_pixel_size
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.tile_store import TileStore, decode_parts
from napari_samstar.core.errors import UserError
from napari_samstar.core.results.result import Result, restore_edits, segment_bank

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import DecodeParts
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.edits import Edits
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.encoder import EmbeddingCache
    from napari_samstar.core.progress import Progress
    from napari_samstar.core.results.recipe import Recipe

T = TypeVar("T")
U = TypeVar("U")


class BatchStopped(UserError):
    """An error that concerns all images of a batch, not only the one at hand."""


class Decoder(Protocol):
    """Decodes the tiles of planes."""

    def has_room(self) -> bool:
        """Return whether work on another plane should begin before that on earlier ones ends."""

    def start(
        self, image: LoadedImage, bank: ProposalBank, config: AmgConfig, store: TileStore
    ) -> DecodeParts | None:
        """Begin with a plane, and return what `ProposalBank.prepare` gets its tiles from.

        None where `prepare` decodes the plane itself and nothing is kept on disk.
        """


class InProcess:
    """Decodes in this process, one tile after another."""

    def has_room(self) -> bool:
        """See `Decoder.has_room`."""
        return False

    def start(
        self, image: LoadedImage, bank: ProposalBank, config: AmgConfig, store: TileStore
    ) -> DecodeParts | None:
        """See `Decoder.start`; only a plane of several tiles is kept on disk."""
        return decode_parts(bank, config, store) if len(bank.tiles(config)) > 1 else None


@dataclass(frozen=True)
class Batch:
    """What all planes of a batch have in common.

    Attributes
    ----------
    recipe : Recipe
        What is repeated; its mapping says how planes are read, but not which.
    model : LoadedModel
        With the recipe's weights.
    cache : EmbeddingCache
    decoder : Decoder
    """

    recipe: Recipe
    model: LoadedModel
    cache: EmbeddingCache
    decoder: Decoder


@dataclass(frozen=True, eq=False)
class BegunPlane:
    """A plane on which the work has begun.

    Attributes
    ----------
    bank : ProposalBank
    edits : Edits
        Of the recipe, where this is the image they were made on.
    store : TileStore
        Its finished tiles.
    decode : callable, optional
        See `Decoder.start`.
    """

    bank: ProposalBank
    edits: Edits
    store: TileStore
    decode: DecodeParts | None

    def finish(self, recipe: Recipe) -> Generator[Progress, None, Result]:
        """Decode what is missing, and return what the recipe finds."""
        if self.decode is not None:
            yield from self.bank.prepare(recipe.config, decode=self.decode)
        return (yield from segment_bank(self.bank, recipe.config, self.edits, tuning=recipe.tuning))


def prepare_plane(image: LoadedImage, recipe: Recipe) -> Micrograph:
    """Return what SAM sees of a plane, with the recipe's pixel size where it is its very image.

    Raises
    ------
    UserError
        Where it cannot be segmented, such as a constant plane.
    """
    return _with_pixel_size(image.prepare(), recipe)


def begin(image: LoadedImage, micrograph: Micrograph, batch: Batch) -> BegunPlane:
    """Begin with a plane; `micrograph` is what SAM sees of `image`."""
    recipe, model = batch.recipe, batch.model
    bank = ProposalBank(micrograph, model, batch.cache)
    store = TileStore.of(micrograph, recipe.config, model)
    edits = restore_edits(recipe, micrograph, bank.masks)
    decode = batch.decoder.start(image, bank, recipe.config, store)
    return BegunPlane(bank, edits, store, decode)


def begun_ahead(
    items: Iterable[T], begin_one: Callable[[T], U], has_room: Callable[[U], bool]
) -> Iterator[U]:
    """Begin with items in their order, and yield them in the same order.

    Parameters
    ----------
    has_room : callable
        Says, after one has begun, whether the next one begins before the oldest is yielded.
    """
    waiting: deque[U] = deque()
    for item in items:
        waiting.append(begin_one(item))
        if not has_room(waiting[-1]):
            yield waiting.popleft()
    yield from waiting
