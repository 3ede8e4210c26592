"""Tiles decoded by the workers of a dask.distributed cluster; only this module knows it.

A worker opens the image by its path, loads the model once, decodes a tile, keeps of it what the
configuration keeps and returns that. With the number of torch threads that the client says, and the
same build of torch, the tiles are the same bit for bit as in one process.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_samstar.api.batch_plane import BatchStopped
from napari_samstar.core.adaptation import weights
from napari_samstar.core.amg.bank import TILES_BETWEEN_RELEASES, ProposalBank
from napari_samstar.core.amg.tile_store import pack, reduced, unpack
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.memory import release_memory
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import load
from napari_samstar.core.models.registry import REGISTRY
from napari_samstar.core.progress import run

try:
    import distributed as _distributed
except ImportError as error:
    raise UserError(
        "--scheduler needs dask.distributed: run 'pip install napari-samstar[cluster]'."
    ) from error

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import DecodeParts, Part
    from napari_samstar.core.amg.candidates import Candidates
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.amg.tile_store import TileStore
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel, Precision

distributed: Any = _distributed  # most of it has no types

LOCAL = "local:"
"""Beginning of an address that stands for workers on this machine: "local:4"."""

PATIENCE = "15s"
"""How long a scheduler is waited for."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""

RETRIES = 2
"""How often a tile is decoded again after an error, such as a file server that does not answer."""


# --- on the workers -----------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelRef:
    """How a worker loads the client's model.

    Attributes
    ----------
    name : str
        Registry name, or path of a checkpoint.
    device : str
    precision : {"reference", "fast"}
    adapter : Path, optional
        File of what its decoder learned from corrections.
    identity : str
        See `LoadedModel.identity`.
    """

    name: str
    device: str
    precision: Precision
    adapter: Path | None
    identity: str

    @classmethod
    def of(cls, model: LoadedModel, adapter: Path | None = None) -> ModelRef:
        """Describe a loaded model."""
        name = model.name if model.name in REGISTRY else str(model.path)
        return cls(name, str(model.device), model.precision, adapter, model.identity)


@dataclass(frozen=True)
class PlaneRef:
    """Everything that the tiles of one plane have in common, for a worker.

    Attributes
    ----------
    path : Path
        The image, as the worker sees it too.
    mapping : ImageMapping
    key : str
        Content key of the plane, see `Micrograph.key`.
    config : AmgConfig
    model : ModelRef
    threads : int
        Number of torch threads.
    torch : str
        Version of torch.
    """

    path: Path
    mapping: ImageMapping
    key: str
    config: AmgConfig
    model: ModelRef
    threads: int
    torch: str


_one_at_a_time = threading.Lock()
"""Model and image are held once in a process, and torch has its own threads."""

_n_decoded = itertools.count(1)


def decode_tile(plane: PlaneRef, part: Part) -> bytes:
    """Decode one tile and return what the configuration keeps of it, see `tile_store.pack`.

    Raises
    ------
    UserError
        Where model, image or torch are others than the client's, and the labels would be too.
    """
    with _one_at_a_time:
        if torch.__version__ != plane.torch:
            raise UserError(
                f"A worker has torch {torch.__version__}, this machine {plane.torch}: install the "
                "same version on both."
            )
        _keep_freed_memory()
        # The number belongs to the thread that calls, hence before each tile.
        torch.set_num_threads(plane.threads)
        model = _model(plane.model)
        bank = ProposalBank(_image(plane.path, plane.mapping, plane.key), model, EmbeddingCache())
        candidates = run(bank.decode(part))
        if next(_n_decoded) % TILES_BETWEEN_RELEASES == 0:
            release_memory()
        return pack(reduced(bank, part, plane.config, candidates))


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step of the model.

    dask starts workers with a setting by which it goes back to the system at once; to get it anew
    each time makes a tile take twice as long. These are the values that glibc comes to by itself.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None and "MALLOC_TRIM_THRESHOLD_" in os.environ:
        mallopt(M_MMAP_THRESHOLD, 2**25)
        mallopt(M_TRIM_THRESHOLD, 2**26)


@lru_cache(maxsize=1)
def _model(ref: ModelRef) -> LoadedModel:
    model = load(ref.name, ref.device, precision=ref.precision)
    if ref.adapter is not None:
        learned, _ = weights.load(ref.adapter, model)
        model = weights.adapted(model, learned)
    if model.identity != ref.identity:
        raise UserError(
            f"A worker has other weights in {ref.name} than this machine: give a path of the model "
            "that is the same file for all."
        )
    return model


@lru_cache(maxsize=2)
def _image(path: Path, mapping: ImageMapping, key: str) -> Micrograph:
    micrograph = _loaded(path).replace(mapping=mapping).prepare()
    if micrograph.key != key:  # the file may have been replaced since it was read
        _loaded.cache_clear()
        micrograph = _loaded(path).replace(mapping=mapping).prepare()
    if micrograph.key != key:
        raise UserError(
            f"A worker finds another image in {path} than this machine: give a path that is the "
            "same file for all."
        )
    return micrograph


@lru_cache(maxsize=1)
def _loaded(path: Path) -> LoadedImage:
    return read_image(path)


# --- on the client ------------------------------------------------------------------------------


@dataclass(eq=False)
class _Open:
    """A plane some of whose tiles are still at the workers."""

    store: TileStore
    parts: dict[str, Part] = field(default_factory=dict)
    arrived: list[tuple[Part, bytes]] = field(default_factory=list)
    error: UserError | None = None


class Cluster:
    """A `Decoder` whose tiles are decoded by the workers of a cluster.

    Whatever arrives is kept on disk at once, also what belongs to a plane whose turn comes later.

    Parameters
    ----------
    client : distributed.Client
    model : ModelRef
    threads : int
        Number of torch threads for each tile.
    """

    def __init__(self, client: Any, model: ModelRef, threads: int) -> None:
        self._client = client
        self._model = model
        self._threads = threads
        self._address = str(client.scheduler.address) if client.scheduler else ""
        self._owners: dict[str, _Open] = {}
        self._futures: dict[str, Any] = {}
        self._arrivals = distributed.as_completed(loop=client.loop)

    def has_room(self) -> bool:
        """Return whether the workers have less to do than two tiles each."""
        with self._watched():
            workers = int(sum(self._client.nthreads().values()))
        return len(self._futures) < 2 * max(1, workers)

    def start(
        self, image: LoadedImage, bank: ProposalBank, config: AmgConfig, store: TileStore
    ) -> DecodeParts:
        """Send the tiles of a plane to the workers that are not on disk yet.

        Raises
        ------
        UserError
            For an image that is in no file.
        BatchStopped
            Where the scheduler does not answer.
        """
        if image.path is None:
            raise UserError("A cluster opens images by their path: save this one first.")
        plane = PlaneRef(
            image.path.absolute(), image.mapping, bank.image.key, config, self._model,
            self._threads, torch.__version__,
        )  # fmt: skip
        device = bank.model.device
        known = {part: store.get(part, device) for part in bank.parts(config)}
        opened = _Open(store)
        with self._watched():
            for part, found in known.items():
                if found is None:
                    self._send(plane, part, opened)

        def decode(parts: Sequence[Part]) -> Iterator[tuple[Part, Candidates]]:
            for part in parts:
                found = known.pop(part)
                if found is not None:
                    yield part, found
            try:
                while opened.parts or opened.arrived:
                    while opened.arrived:
                        part, data = opened.arrived.pop()
                        yield part, unpack(data, part, device)
                    if opened.error is not None:
                        raise opened.error
                    if opened.parts:
                        self._receive()
            finally:
                self._drop(list(opened.parts))

        return decode

    def cancel(self) -> None:
        """Drop all tiles that are not back yet; workers end the one they are on."""
        self._drop(list(self._futures))

    def _drop(self, keys: list[str]) -> None:
        dropped = [self._futures.pop(key) for key in keys if key in self._futures]
        for key in keys:
            self._owners.pop(key, None)
        if dropped and self._client.status == "running":  # else it would be waited for
            with contextlib.suppress(Exception):
                self._client.cancel(dropped)

    def _send(self, plane: PlaneRef, part: Part, opened: _Open) -> None:
        future = self._client.submit(decode_tile, plane, part, pure=False, retries=RETRIES)
        opened.parts[future.key] = part
        self._owners[future.key] = opened
        self._futures[future.key] = future
        self._arrivals.add(future)

    def _receive(self) -> None:
        """Wait for the next tile, of whichever plane, and keep it."""
        with self._watched():
            future = next(self._arrivals)
            opened = self._owners.pop(future.key, None)
            if opened is None:  # it was dropped meanwhile
                return
            del self._futures[future.key]
            part = opened.parts.pop(future.key)
            try:
                data = future.result()
            except distributed.KilledWorker:
                opened.error = UserError(
                    "Several workers died on one of its tiles, perhaps for want of memory: give "
                    "them more and run the command again; finished tiles are kept."
                )
                return
            except UserError as error:
                opened.error = error
                return
        opened.store.put(part, data)
        opened.arrived.append((part, data))

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Say in one sentence that the scheduler is lost."""
        try:
            yield
        except Exception as error:
            if self._client.status == "running" and not _is_cancelled(error):
                raise
            raise BatchStopped(
                f"The scheduler {self._address} was lost: run the same command again; what is done "
                f"is kept, also for a run without --scheduler and with --threads {self._threads}."
            ) from error


def _is_cancelled(error: Exception) -> bool:
    return isinstance(error, distributed.client.FutureCancelledError)


@contextlib.contextmanager
def connected(address: str, model: LoadedModel, adapter: Path | None = None) -> Iterator[Cluster]:
    """Yield a `Decoder` on a cluster; at the end its open tasks are cancelled.

    Parameters
    ----------
    address : str
        Of a scheduler, such as "tcp://10.0.0.5:8786"; "local:4" starts 4 workers on this machine,
        which end with the block.
    model : LoadedModel
        The client's; workers load the same.
    adapter : Path, optional
        File of what the model learned from corrections.

    Raises
    ------
    UserError
        Where there is no scheduler at the address.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        place = address
        if address.startswith(LOCAL):
            place = stack.enter_context(_local_workers(workers_of(address)))
        client = stack.enter_context(_client(place))
        found = Cluster(client, ModelRef.of(model, adapter), torch.get_num_threads())
        stack.callback(found.cancel)
        yield found


def workers_of(address: str) -> int:
    """Return the number of workers of "local:N".

    Raises
    ------
    UserError
        Where N is not a number above 0.
    """
    try:
        n = int(address.removeprefix(LOCAL))
    except ValueError:
        n = 0
    if n < 1:
        raise UserError(f"'{address}' does not say how many workers: write it like local:4.")
    return n


@contextlib.contextmanager
def _local_workers(n: int) -> Iterator[Any]:
    cluster = distributed.LocalCluster(
        n_workers=n, threads_per_worker=1, processes=True, dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )  # fmt: skip
    try:
        yield cluster
    finally:
        with contextlib.suppress(Exception):
            cluster.close(timeout=10)


@contextlib.contextmanager
def _client(place: Any) -> Iterator[Any]:
    try:
        client = distributed.Client(place, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UserError(
            f"There is no dask scheduler at {place} ({type(error).__name__}): check the address, "
            "or use --scheduler local:2."
        ) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):
            client.close(timeout=5)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the tracebacks of distributed off the terminal: errors are one sentence here."""
    names = [n for n in logging.root.manager.loggerDict if n.startswith("distributed.")]
    noisy = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio", *names)]
    before = [log.level for log in noisy]
    verbose = logging.getLogger("napari_samstar").isEnabledFor(logging.DEBUG)
    for log in noisy if not verbose else ():
        log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for log, level in zip(noisy, before, strict=True):
            log.setLevel(level)


def default_threads(address: str) -> int:
    """Return how many torch threads fit: with "local:N" the cores are shared by N workers."""
    if not address.startswith(LOCAL):
        return torch.get_num_threads()
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, cores // workers_of(address))
