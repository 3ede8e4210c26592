"""What all tests share: no outside network, a cache of their own, fixed seeds, few threads."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, settings

# The same examples on every run, so that a change is judged by itself and not by the draw;
# HYPOTHESIS_PROFILE=search looks for new ones.
# A busy machine may be slow: neither a deadline nor the check of the generators' speed.
BUSY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **BUSY)
settings.register_profile("search", max_examples=2000, **BUSY)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# Read when torch or numpy start their pools, hence before anything imports them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]
LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "", None}
WORKER_MEMORY = 2.5  # GiB, at most, of a process that runs tests


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes of `pytest -n auto`: one a core, as far as memory lasts."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    memory = psutil.virtual_memory().available / 2**30
    return max(1, min(cores, int(memory / WORKER_MEMORY)))


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep models and embeddings of the tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMSTAR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_outside_network() -> Iterator[None]:
    """Turn a forgotten download into a failure; servers on this machine stay within reach."""
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_outside(address[0])
        connect(self, address)

    def guarded_lookup(host: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_outside(host)
        return lookup(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket, "getaddrinfo", guarded_lookup)
        yield


def _refuse_outside(host: Any) -> None:
    if host not in LOCAL:
        raise RuntimeError(f"a test wanted to reach {host}, outside of this machine")


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Let no test depend on the ones that ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries below still draw from it
    seed = getattr(sys.modules.get("torch"), "manual_seed", None)
    if seed is not None:  # not where a panel of an earlier test still imports it
        seed(0)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's top folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def micrographs() -> Path:
    """The folder of real micrographs, which is not part of the project; skips without it."""
    named = os.environ.get("SAMSTAR_MICROGRAPHS")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "micrographs"
    if not folder.is_dir():
        pytest.skip(f"no real micrographs in {folder}: set SAMSTAR_MICROGRAPHS to their folder")
    return folder
