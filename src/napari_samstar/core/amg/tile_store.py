"""Finished tiles of an image on disk, so that work that was killed goes on where it was.

Of a tile only those candidates are kept that the configuration keeps, see `select.kept_of_part`. To
put tiles together needs no others, so that the labels are the same bit for bit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_samstar.core.amg.bank import TILES_BETWEEN_RELEASES, ProposalBank
from napari_samstar.core.amg.candidates import Candidates
from napari_samstar.core.amg.select import kept_of_part
from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.cache_folder import cache_folder, keep_newest
from napari_samstar.core.errors import UserError
from napari_samstar.core.masks.store import BitWindow, PackedMask
from napari_samstar.core.memory import release_memory
from napari_samstar.core.progress import run

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import DecodeParts, Part
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel

log = logging.getLogger("napari_samstar")

FOLDER, SUFFIX, VERSION = "tiles", ".npz", 2
MAX_FILES, MAX_BYTES = 200_000, 20 * 2**30
"""Bounds of all that is kept; the oldest files are those of work that was given up."""

READ_ERRORS = (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile)

_TENSORS = ("points", "predicted_iou", "stability", "boxes", "near_edge", "batch")
_ON_HOST = ("points",)


class TileStore:
    """The finished tiles of one image, model and configuration.

    Where the folder cannot be written to, nothing is kept and nothing fails: the log says so.

    Parameters
    ----------
    folder : Path
        It is made when the first tile is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, image: Micrograph, config: AmgConfig, model: LoadedModel) -> TileStore:
        """Return the store in the user's cache folder that belongs to all that changes a bit.

        That is the pixels, the settings, the weights, the device, the build of torch and, on a CPU,
        the number of threads.
        """
        threads = torch.get_num_threads() if model.device.type == "cpu" else 0
        about = (
            VERSION, image.key, sorted(config.to_dict().items()), model.identity, model.precision,
            str(model.device), torch.__version__, threads,
        )  # fmt: skip
        digest = hashlib.sha256(repr(about).encode()).hexdigest()
        return cls(cache_folder(FOLDER) / digest[:32])

    def read(self, name: str) -> bytes | None:
        """Return the content of a file of the store; None where there is none."""
        try:
            return (self.folder / f"{name}{SUFFIX}").read_bytes()
        except OSError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Keep a file, whole or not at all."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with write_atomic(self.folder / f"{name}{SUFFIX}") as part:
                part.write_bytes(data)
        except (OSError, UserError) as error:
            log.warning("finished work is not kept: %s", error)

    def get(self, part: Part, device: torch.device) -> Candidates | None:
        """Return what was kept of a tile; None where there is nothing, or it is damaged."""
        data = self.read(_name(part))
        if data is None:
            return None
        try:
            return unpack(data, part, device)
        except READ_ERRORS as error:
            log.warning("a finished tile cannot be read and is decoded again: %s", error)
            return None

    def put(self, part: Part, data: bytes) -> None:
        """Keep a tile, as `pack` returns it."""
        self.write(_name(part), data)

    def keep_only(self, name: str) -> None:
        """Delete all files but one."""
        for path in self.folder.glob(f"*{SUFFIX}"):
            if path.name != f"{name}{SUFFIX}":
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete everything, once the result is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def trim() -> None:
    """Delete the oldest tiles of all images where too much is kept."""
    keep_newest(cache_folder(FOLDER), f"*/*{SUFFIX}", files=MAX_FILES, n_bytes=MAX_BYTES)


def decode_parts(bank: ProposalBank, config: AmgConfig, store: TileStore) -> DecodeParts:
    """Return what decodes parts in this process, for `ProposalBank.prepare`.

    Each part is read from the store, or decoded and then kept there before the next one begins.
    """

    def decode(parts: Sequence[Part]) -> Iterator[tuple[Part, Candidates]]:
        for k, part in enumerate(parts, start=1):
            known = store.get(part, bank.model.device)
            if known is None:
                known = reduced(bank, part, config, run(bank.decode(part)))
                store.put(part, pack(known))
            if k % TILES_BETWEEN_RELEASES == 0:
                release_memory()
            yield part, known

    return decode


def reduced(
    bank: ProposalBank, part: Part, config: AmgConfig, candidates: Candidates
) -> Candidates:
    """Return those candidates of a part that `config` keeps, in the order in which it does.

    To select from them gives the same masks, scores and types as to select from all.
    """
    alone = ProposalBank(bank.image, bank.model)
    alone.add(part, candidates)
    kept = kept_of_part(alone, part, config)
    found = candidates.take(kept.candidates)  # ids in a store of one table are its rows
    # Upstream's boxes are whole numbers, or not where a batch of prompts gave no mask that passes
    # the filters. As many batches are announced as lead to the same type.
    n_batches = min(1, len(kept.ids)) if not kept.boxes.is_floating_point() else 2
    return dataclasses.replace(found, batch=torch.zeros_like(found.batch), n_batches=n_batches)


def pack(candidates: Candidates) -> bytes:
    """Return candidates as the content of a file."""
    c = candidates
    windows = [mask.bit_window for mask in c.masks]
    about = {
        "version": VERSION,
        "crop_box": list(c.crop_box),
        "n_batches": c.n_batches,
        "n_prompts": c.n_prompts,
    }
    arrays: dict[str, Any] = {name: getattr(c, name).cpu().numpy() for name in _TENSORS}
    if c.prompt_boxes is not None:
        arrays["prompt_boxes"] = c.prompt_boxes
    if c.given is not None:
        arrays["given"] = c.given
    if c.probability is not None:
        arrays["probability"] = c.probability.cpu().numpy()
    file = io.BytesIO()
    np.savez_compressed(
        file,
        about=np.array(json.dumps(about)),
        mask_boxes=np.array([mask.box for mask in c.masks], dtype=np.int64).reshape(-1, 4),
        areas=np.array([mask.area for mask in c.masks], dtype=np.int64),
        windows=np.array([(w.row, w.word, *w.bits.shape) for w in windows], dtype=np.int64),
        bits=np.concatenate([np.zeros(0, np.uint64), *(w.bits.ravel() for w in windows)]),
        **arrays,
    )
    return file.getvalue()


def unpack(data: bytes, part: Part, device: torch.device) -> Candidates:
    """Undo `pack`; one of `READ_ERRORS` where the content is damaged or of another part."""
    # A file in the format of zip carries a checksum for each array, which is checked here.
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays["about"]))
    if about["version"] != VERSION or tuple(about["crop_box"]) != part.crop_box:
        raise ValueError("the file belongs to another tile")
    tensors = {name: torch.from_numpy(arrays[name]) for name in _TENSORS}
    tensors = {name: t if name in _ON_HOST else t.to(device) for name, t in tensors.items()}
    p = arrays.get("probability")
    return Candidates(
        crop_box=part.crop_box,
        masks=_masks(arrays),
        n_batches=int(about["n_batches"]),
        n_prompts=int(about["n_prompts"]),
        prompt_boxes=arrays.get("prompt_boxes"),
        given=arrays.get("given"),
        probability=torch.from_numpy(p).to(device) if p is not None else None,
        **tensors,
    )


def _masks(arrays: dict[str, Any]) -> tuple[PackedMask, ...]:
    """Return the masks of a file; ValueError where its arrays do not fit together."""
    windows = arrays["windows"].reshape(-1, 4)
    ends = np.cumsum(windows[:, 2] * windows[:, 3])
    n = len(arrays["areas"])
    if len(windows) != n or len(arrays["points"]) != n or len(arrays["bits"]) != sum(ends[-1:]):
        raise ValueError("the arrays of the file do not fit together")
    bits = np.split(arrays["bits"], ends[:-1]) if n else []
    rows = zip(windows.tolist(), bits, arrays["mask_boxes"].tolist(), arrays["areas"].tolist(),
               strict=True)  # fmt: skip
    return tuple(
        PackedMask(BitWindow(words.reshape(h, w), row, word), (r0, c0, r1, c1), area)
        for (row, word, h, w), words, (r0, c0, r1, c1), area in rows
    )


def _name(part: Part) -> str:
    return hashlib.sha256(repr(part).encode()).hexdigest()[:24]
