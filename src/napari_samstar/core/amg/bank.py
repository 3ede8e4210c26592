"""The proposal bank: every candidate mask SAM can offer for an image, decoded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from segment_anything.utils.amg import generate_crop_boxes

from napari_samstar.core.amg.answers import answered
from napari_samstar.core.amg.decode import decode_prompts
from napari_samstar.core.amg.fallback import ON_CPU, on_cpu
from napari_samstar.core.amg.likelihood import with_probabilities
from napari_samstar.core.amg.part_prompts import in_region, near_core
from napari_samstar.core.amg.within_region import within
from napari_samstar.core.image.shown import shown_crop
from napari_samstar.core.image.tiles import Tile, tiles_of
from napari_samstar.core.image.versions import ORIGINAL
from napari_samstar.core.masks.cleanup import Cleaner
from napari_samstar.core.masks.shape import ShapeTable
from napari_samstar.core.masks.store import MaskStore
from napari_samstar.core.memory import check_memory
from napari_samstar.core.models.device import is_out_of_memory
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.progress import Progress
from napari_samstar.core.prompts.base import Crop, ImpossibleConfig, Proposals
from napari_samstar.core.prompts.sources import prompt_source

if TYPE_CHECKING:
    from napari_samstar.core.amg.candidates import Candidates, CropBox
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.masks.shape import Shapes
    from napari_samstar.core.models.backend import Embedding, LoadedModel

MASK_SHARE = 0.12
"""Mean share of the image that a candidate's box covers, for the memory estimate."""

TILES_BETWEEN_RELEASES = 32
"""Else freed blocks between the small masks that are kept would add up to a megabyte for a tile."""

AT_ONCE = 128
"""Shapes measured between two reports of progress; some 0.1 s."""


@dataclass(frozen=True)
class Part:
    """One crop and one set of prompts: the unit in which a bank decodes and keeps.

    Attributes
    ----------
    crop_box : (x0, y0, x1, y1)
        px of the image.
    source : str
        Name of the prompt source.
    key : hashable
        What its prompts depend on besides image, crop and model.
    per_batch : int
        Prompts decoded at once.
    core : (x0, y0, x1, y1), optional
        Of a tile: where its prompts lie, but for a margin; px of the image.
    shown : str
        What SAM sees of the image, see `image.shown`.
    """

    crop_box: CropBox
    source: str
    key: Hashable
    per_batch: int
    core: CropBox | None = None
    shown: str = ORIGINAL

    @property
    def frame(self) -> tuple[CropBox, str]:
        """What is encoded for it."""
        return self.crop_box, self.shown

    @property
    def n_prompts(self) -> int:
        """Number of prompts, or what is usual where they are not known yet."""
        return prompt_source(self.source).expected(self.key)


@dataclass(frozen=True, eq=False)
class Table:
    """The candidates of one part, the ids of their masks in the bank, and the number of prompts."""

    part: Part
    candidates: Candidates
    ids: NDArray[np.int64]
    n_prompts: int


@dataclass(frozen=True)
class PartDone(Progress):
    """One of several parts is in the bank; `done` and `total` count parts."""

    part: Part
    bank: ProposalBank
    config: AmgConfig


DecodeParts = Callable[[Sequence[Part]], Iterable[tuple[Part, "Candidates"]]]


@dataclass(frozen=True)
class PendingWork:
    """What is still to be done: crops to encode, prompts to decode and shapes to measure."""

    crops: int
    prompts: int
    shapes: int = 0

    def __bool__(self) -> bool:
        return bool(self.crops or self.prompts or self.shapes)


class ProposalBank:
    """Candidates of one image and one model, decoded part by part and kept.

    It only ever grows: what was once decoded stays, so results derived from it stay valid.

    Attributes
    ----------
    masks : MaskStore
        Of all candidates and of masks made from them.
    prompt_boxes : dict of int to (x0, y0, x1, y1)
        By mask id, px of the image: the box that SAM was prompted with, for those that were.
    given : set of int
        Ids of the masks that are not SAM's but were given by the source of the prompts.
    joined : dict of tuple of int to int
        Ids of the unions of masks, by the ids of those masks: objects that tiles had cut.

    Parameters
    ----------
    image : Micrograph
    model : LoadedModel
    cache : EmbeddingCache, optional
        Shared between banks; by default one of its own, in memory.
    """

    def __init__(
        self, image: Micrograph, model: LoadedModel, cache: EmbeddingCache | None = None
    ) -> None:
        self.image = image
        self.model = model
        self._used = model
        self.masks = MaskStore(self.shape)
        self.cleaner = Cleaner(self.masks)
        self.shapes = ShapeTable(self.masks)
        self.prompt_boxes: dict[int, list[float]] = {}
        self.given: set[int] = set()
        self._cache = cache or EmbeddingCache()
        self._tables: dict[Part, Table] = {}
        self.joined: dict[tuple[int, ...], int] = {}
        self._likeness: dict[tuple[Table, Shapes], NDArray[np.float64]] = {}
        self._encoded: set[tuple[CropBox, str]] = set()
        self._seconds = {"crops": 0.0, "prompts": 0.0}
        self._counts = {"crops": 0, "prompts": 0}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image, px."""
        return self.image.shape

    @property
    def spent(self) -> dict[str, float]:
        """Seconds spent so far: "encode" and "decode"."""
        return {"encode": self._seconds["crops"], "decode": self._seconds["prompts"]}

    @property
    def n_prompts(self) -> int:
        """Number of prompts decoded so far."""
        return self._counts["prompts"]

    @property
    def nbytes(self) -> int:
        """Memory held by masks and scores."""
        tables = (t.candidates for t in self._tables.values())
        return self.masks.nbytes + sum(c.stability.nelement() * 4 for c in tables)

    def parts(self, config: AmgConfig) -> list[Part]:
        """Return the parts that `config` uses, in upstream's order."""
        source, sees_centres = prompt_source(config.prompts), self.model.backend.sees_centres
        tiles = self.tiles(config)
        if len(tiles) > 1:
            key, n = source.key(config, 0, sees_centres), config.points_per_batch
            # A tile without a pixel of the region is not encoded.
            boxes_in = (tile for tile in tiles if self.image.region.reaches(tile.core))
            return [
                Part(tile.box, source.name, key, n, tile.core, config.shown) for tile in boxes_in
            ]
        boxes, layers = generate_crop_boxes(
            self.shape, config.crop_n_layers, config.crop_overlap_ratio
        )
        keys = [source.key(config, k, sees_centres) for k in range(config.crop_n_layers + 1)]
        parts = []
        for (x0, y0, x1, y1), layer in zip(boxes, layers, strict=True):
            if x0 >= x1 or y0 >= y1:
                raise ImpossibleConfig("The image is too small for so many zoom levels: use fewer.")
            box, n = (x0, y0, x1, y1), config.points_per_batch
            parts.append(Part(box, source.name, keys[layer], n, shown=config.shown))
        return parts

    def tiles(self, config: AmgConfig) -> tuple[Tile, ...]:
        """Return the tiles that `config` cuts the image into; none where it is one frame."""
        if config.tile_scale is None:
            raise ValueError("the scale of the tiles is not chosen yet")
        if config.tile_scale == 0:
            return ()
        return tiles_of(self.shape, self.model.backend.frame_side, config.tile_scale)

    def tables(self, config: AmgConfig, *, partial: bool = False) -> list[Table]:
        """Return the tables that `config` uses.

        KeyError where `prepare` was not run first, unless `partial` asks for those at hand.
        """
        parts = self.parts(config)
        if partial:
            parts = [part for part in parts if part in self._tables]
        return [self._tables[part] for part in parts]

    def table(self, part: Part) -> Table:
        """Return the table of one part; KeyError where it is not decoded yet."""
        return self._tables[part]

    def has(self, part: Part) -> bool:
        """Return whether a part is decoded."""
        return part in self._tables

    def has_some(self, config: AmgConfig) -> bool:
        """Return whether any of the parts that `config` uses are decoded."""
        return any(part in self._tables for part in self.parts(config))

    def missing(self, configs: Sequence[AmgConfig]) -> PendingWork:
        """Return what `prepare` would have to do for all `configs` together."""
        parts = {p for config in configs for p in self.parts(config)} - self._tables.keys()
        crops = {p.frame for p in parts} - self._encoded
        shapes = {i for c in configs for i in self._unmeasured(c)}
        return PendingWork(len(crops), sum(p.n_prompts for p in parts), len(shapes))

    def likeness(self, table: Table, examples: Shapes) -> NDArray[np.float64]:
        """Return the likeness of a table's masks to `examples`, (n,); see `ShapeTable.likeness`."""
        known = self._likeness.get((table, examples))
        if known is None:
            known = self._likeness[table, examples] = self.shapes.likeness(table.ids, examples)
        return known

    def seconds(self, work: PendingWork) -> float | None:
        """Return the expected time of `work` from this bank's own pace; None before any."""
        if not self._counts["prompts"]:
            return None
        pace = {k: self._seconds[k] / max(1, n) for k, n in self._counts.items()}
        return work.crops * pace["crops"] + work.prompts * pace["prompts"]

    def prepare(
        self,
        config: AmgConfig,
        first: CropBox | None = None,
        decode: DecodeParts | None = None,
    ) -> Generator[Progress, None, None]:
        """Encode and decode what `config` needs and the bank lacks; yields progress in prompts.

        Where examples are given, the shapes of all candidates are measured too, so that `select`
        need not. A part joins the bank when it is complete: stopped half-way, the bank is as
        before it. Each complete part of several is told by a `PartDone`.

        Parameters
        ----------
        first : (x0, y0, x1, y1), optional
            A window of the image, px; its tiles come first.
        decode : callable, optional
            Decodes parts elsewhere, such as on a cluster, and yields each with its candidates, in
            any order.

        Raises
        ------
        UserError
            Where the candidates would not fit in memory.
        """
        todo = [part for part in dict.fromkeys(self.parts(config)) if part not in self._tables]
        if first is not None:
            todo.sort(key=lambda part: not _overlap(part.core or part.crop_box, first))
        self._check_memory(todo)
        if decode is None:
            yield from self._decode_here(todo, config)
        else:
            for k, (part, candidates) in enumerate(decode(todo), start=1):
                self.add(part, candidates)
                yield PartDone(k, len(todo), "Decoding tiles", part, self, config)
        unmeasured = self._unmeasured(config)
        for k in range(0, len(unmeasured), AT_ONCE):
            yield Progress(k, len(unmeasured), "Measuring the shapes of candidates")
            self.shapes.shape(unmeasured[k : k + AT_ONCE])

    def _decode_here(
        self, todo: Sequence[Part], config: AmgConfig
    ) -> Generator[Progress, None, None]:
        total = sum(part.n_prompts for part in todo)
        done = 0
        for part in todo:
            # Tiles are many and quick: there the parts are counted, else the prompts.
            tile = part.core is not None
            if not tile:
                yield Progress(done, total, "Encoding the image")
            work = self.decode(part)
            while True:
                try:
                    n = next(work)
                except StopIteration as end:
                    self.add(part, end.value)
                    break
                if not tile:
                    yield Progress(done + min(n, part.n_prompts), total, "Decoding candidates")
            done += part.n_prompts
            if tile:
                yield PartDone(
                    done // part.n_prompts, len(todo), "Decoding tiles", part, self, config
                )

    def _unmeasured(self, config: AmgConfig) -> NDArray[np.int64]:
        """Return the candidates at hand whose shapes `config` asks for and nobody measured."""
        tables = [self._tables[p] for p in self.parts(config) if p in self._tables]
        if not config.examples or not tables:
            return np.zeros(0, dtype=np.int64)
        return self.shapes.missing(np.concatenate([t.ids for t in tables]))

    def decode(self, part: Part) -> Generator[int, None, Candidates]:
        """Encode and decode one part, without adding it to the bank; yields prompts done.

        Where the GPU has too little memory, the CPU does this part and all later ones.
        """
        while True:
            try:
                candidates = yield from self._decode(part)
                return candidates.to(self.model.device)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._used = on_cpu(self._used)
            self._tell(ON_CPU)

    def _tell(self, sentence: str) -> None:
        self.image = self.image.with_note(sentence)

    def _decode(self, part: Part) -> Generator[int, None, Candidates]:
        start = time.perf_counter()
        crop = self.image.crop(part.crop_box)
        tile = part.core is not None
        seen = crop if part.shown == ORIGINAL else shown_crop(self.image, *part.frame)
        embedding = self._cache.encode(self._used, seen, one_of_many=tile)
        if part.frame not in self._encoded:
            self._encoded.add(part.frame)
            self._note("crops", 1, start)
        start = time.perf_counter()
        backend = self._used.backend
        asked = Crop(crop, part.crop_box, self.shape, backend, embedding)
        proposals = Proposals.of(prompt_source(part.source).prompts(part.key, asked))
        if part.core is not None:
            side, core = backend.frame_side, part.core
            proposals = proposals.where(lambda at: near_core(at, part.crop_box, core, side))
        region = self.image.region
        if not region.is_whole:
            proposals = proposals.where(lambda at: in_region(at, part.crop_box, region))
        decode = partial(
            decode_prompts, backend, embedding, part.crop_box, self.shape,
            per_batch=part.per_batch, tile=tile, tell=self._tell,
        )  # fmt: skip
        candidates = yield from answered(proposals, decode, part.crop_box, self.shape, tile)
        self._note("prompts", proposals.n_prompts, start)
        if not region.is_whole:
            candidates = within(candidates, region, self.shape)
        return self.rated(candidates, embedding)

    def rated(self, candidates: Candidates, embedding: Embedding) -> Candidates:
        """Return the candidates of one crop with their probability to be an object."""
        return with_probabilities(candidates, self._used.backend, embedding)

    def add(self, part: Part, candidates: Candidates) -> None:
        """Take over the candidates of one part, such as `decode` returns them."""
        ids = np.array(self.masks.extend(candidates.masks), dtype=np.int64)
        self._tables[part] = Table(part, candidates, ids, candidates.n_prompts)
        if candidates.prompt_boxes is not None:
            x0, y0 = part.crop_box[:2]
            boxes = candidates.prompt_boxes + np.array([[x0, y0, x0, y0]])
            asked = np.isfinite(boxes).all(axis=1)
            self.prompt_boxes.update(zip(ids[asked].tolist(), boxes[asked].tolist(), strict=True))
        if candidates.given is not None:
            self.given.update(ids[candidates.given].tolist())

    def _note(self, kind: str, n: int, start: float) -> None:
        self._seconds[kind] += time.perf_counter() - start
        self._counts[kind] += n

    def _check_memory(self, todo: Sequence[Part]) -> None:
        need = 0.0
        for part in todo:
            x0, y0, x1, y1 = part.crop_box if part.core is not None else (0, 0, *self.shape)
            # Of a tile's masks only those are large that are worth nothing.
            share = MASK_SHARE / 10 if part.core is not None else MASK_SHARE
            need += 3 * part.n_prompts * (x1 - x0) * (y1 - y0) / 8 * share
        advice = "lower 'Points per side' or 'Zoom levels', or crop the image"
        check_memory(need, "The candidates", advice)


def _overlap(one: CropBox, other: CropBox) -> bool:
    x0, y0, x1, y1 = other
    return one[0] < x1 and x0 < one[2] and one[1] < y1 and y0 < one[3]
