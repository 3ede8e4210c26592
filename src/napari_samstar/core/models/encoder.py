"""Image crop -> SAM embedding, cached by content in memory and on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from napari_samstar.core import interrupt
from napari_samstar.core.models.backend import Embedding, LoadedModel

SLOW = 1.0
"""Seconds of encoding from which the embedding of a tile is worth its place in the cache."""


class EmbeddingCache:
    """Keeps embeddings by content: first in memory, then on disk.

    The key holds everything that changes a bit of the result: the pixels, the weights, the
    device, the torch build and, on a CPU, the number of threads.

    Parameters
    ----------
    folder : Path, optional
        Where files go; None keeps embeddings in memory only.
    memory_bytes, disk_bytes : int
        Bounds; the least recently used go first.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        memory_bytes: int = 512 * 2**20,
        disk_bytes: int = 4 * 2**30,
    ) -> None:
        self.folder = folder
        self.memory_bytes = memory_bytes
        self.disk_bytes = disk_bytes
        self._memory: OrderedDict[str, Embedding] = OrderedDict()

    def get(self, model: LoadedModel, crop: NDArray[np.uint8]) -> Embedding | None:
        """Return the embedding of `crop` if it is known, else None."""
        key = embedding_key(model, crop)
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        found = self._read(key, model.device)
        if found is not None:
            self._remember(key, found)
        return found

    def encode(
        self, model: LoadedModel, crop: NDArray[np.uint8], *, one_of_many: bool = False
    ) -> Embedding:
        """Return the embedding of `crop`, uint8 RGB of shape (H, W, 3), encoding it if need be.

        Parameters
        ----------
        one_of_many : bool
            Whether it is one of many tiles: then it is kept only where encoding took long.
        """
        known = self.get(model, crop)
        if known is not None:
            return known
        start = time.perf_counter()
        embedding = encode(model, crop)
        if one_of_many and time.perf_counter() - start < SLOW:
            return embedding
        key = embedding_key(model, crop)
        self._remember(key, embedding)
        self._write(key, embedding)
        return embedding

    def clear_memory(self) -> None:
        """Forget what is held in memory; files stay."""
        self._memory.clear()

    def _remember(self, key: str, embedding: Embedding) -> None:
        self._memory[key] = embedding
        while sum(e.nbytes for e in self._memory.values()) > self.memory_bytes:
            if len(self._memory) == 1:
                break
            self._memory.popitem(last=False)

    def _read(self, key: str, device: torch.device) -> Embedding | None:
        path = self._path(key)
        if path is None or not path.exists():
            return None
        # A damaged cache file does not concern the user: encode again.
        with contextlib.suppress(OSError, safetensors.SafetensorError, KeyError, ValueError):
            data = load_file(path, device=str(device))
            os.utime(path)
            rows, cols, in_rows, in_cols = data["sizes"].tolist()
            return Embedding(data["features"], (rows, cols), (in_rows, in_cols))
        return None

    def _write(self, key: str, embedding: Embedding) -> None:
        path = self._path(key)
        if path is None:
            return
        data = {
            "features": embedding.features.contiguous(),
            "sizes": torch.tensor([*embedding.original_size, *embedding.input_size]),
        }
        part = path.with_suffix(f".{os.getpid()}.part")
        # A cache that cannot be written (full disk, read-only home) costs time, not the result.
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(data, part)
            part.replace(path)
            self._trim()
        except (OSError, safetensors.SafetensorError):
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _trim(self) -> None:
        assert self.folder is not None
        files = sorted(self.folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime)
        total = sum(p.stat().st_size for p in files)
        for old in files[:-1]:
            if total <= self.disk_bytes:
                break
            total -= old.stat().st_size
            old.unlink(missing_ok=True)

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.safetensors"


def default_cache() -> EmbeddingCache:
    """Return a cache in the user's cache folder (`SAMSTAR_CACHE` overrides it)."""
    import platformdirs

    root = os.environ.get("SAMSTAR_CACHE") or platformdirs.user_cache_dir("napari-samstar")
    return EmbeddingCache(Path(root) / "embeddings")


def encode(model: LoadedModel, crop: NDArray[np.uint8]) -> Embedding:
    """Run a model's image encoder on one RGB uint8 crop of shape (H, W, 3)."""
    can_stop = getattr(model.backend, "can_stop", True)
    with interrupt.checked() if can_stop else contextlib.nullcontext():
        return model.backend.encode(np.ascontiguousarray(crop))


def embedding_key(model: LoadedModel, crop: NDArray[np.uint8]) -> str:
    """Return the hex digest under which the embedding of `crop` is kept."""
    digest = hashlib.sha256(np.ascontiguousarray(crop).tobytes())
    threads = torch.get_num_threads() if model.device.type == "cpu" else 0
    arithmetic = getattr(model.backend, "arithmetic", "fp32")
    facts = (crop.shape, model.sha256, str(model.device), torch.__version__, threads, arithmetic)
    digest.update(repr(facts).encode())
    return digest.hexdigest()
