"""Tiles on a cluster: the same labels bit for bit, whichever worker or scheduler dies."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch

from benchmarks.bank import discs
from napari_samstar.api import cluster
from napari_samstar.api.batch import Finished, ImageJob, iter_batch
from napari_samstar.api.batch_plane import BatchStopped
from napari_samstar.api.cluster import ModelRef, PlaneRef, connected, decode_tile, workers_of
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.tile_store import pack, reduced
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.results.recipe import make_recipe
from napari_samstar.core.results.result import segment_bank

CONFIG = AmgConfig(prompts="centres", tile_scale=2.5)
THREADS = 1


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(THREADS)
    return load("pocket", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    pixels = discs((300, 420)).pixels[..., 0]
    for k in range(2):
        tifffile.imwrite(folder / f"discs_{k}.tif", np.roll(pixels, 11 * k, axis=1))
    small = discs((64, 80)).pixels[..., 0]
    stack = np.stack([np.roll(small, 2 * k, axis=1) for k in range(3)])
    tifffile.imwrite(folder / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    return folder


@pytest.fixture(scope="module")
def workers(model):
    with connected("local:2", model) as found:
        yield found


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SAMSTAR_CACHE", str(folder))
    return folder


def steps_of(folder, names, out, model, decoder=None, config=CONFIG):
    jobs = [
        ImageJob(name, out / name, lambda name=name: read_image(folder / f"{name}.tif"))
        for name in names
    ]
    recipe = make_recipe(read_image(folder / "discs_0.tif").prepare(), model, config)
    return iter_batch(recipe, jobs, model, EmbeddingCache(), decoder=decoder)


def finished(steps, on_step=None) -> list[Finished]:
    found: list[Finished] = []

    def take(step):
        if isinstance(step, Finished):
            found.append(step)
        elif on_step is not None:
            on_step(step)

    run(steps, take)
    return found


def labels_in(folder):
    return read_image(folder / "labels.tif").array


def expected(folder, name, model):
    bank = ProposalBank(read_image(folder / f"{name}.tif").prepare(), model)
    labels = run(segment_bank(bank, CONFIG)).labels
    assert len(bank.parts(CONFIG)) == 6
    assert labels.max() >= 4
    return labels


@pytest.mark.slow
def test_labels_are_those_of_one_process_bit_for_bit(tmp_path, folder, workers, model):
    names = ["discs_0", "discs_1"]
    found = finished(steps_of(folder, names, tmp_path, model, workers))
    assert [one.state for one in found] == ["done"] * 2
    for name in names:
        np.testing.assert_array_equal(
            labels_in(tmp_path / name), expected(folder, name, model), err_msg=name
        )
    again = finished(steps_of(folder, names, tmp_path, model, workers))
    assert [one.state for one in again] == ["skipped"] * 2


@pytest.mark.slow
def test_planes_of_a_stack_are_those_of_one_process(tmp_path, folder, workers, model):
    config = CONFIG.replace(tile_scale=0)
    for decoder, name in ((workers, "cluster"), (None, "here")):
        (found,) = finished(steps_of(folder, ["stack"], tmp_path / name, model, decoder, config))
        assert found.state == "done"
    there, here = (labels_in(tmp_path / name / "stack") for name in ("cluster", "here"))
    assert here.max() > 0
    np.testing.assert_array_equal(there, here)


@pytest.mark.slow
def test_an_image_that_fails_stops_no_other(tmp_path, folder, workers, model):
    gone = tmp_path / "gone"
    gone.mkdir()
    for name in ("discs_0", "discs_1"):
        (gone / f"{name}.tif").write_bytes((folder / f"{name}.tif").read_bytes())
    read = read_image(gone / "discs_0.tif")
    (gone / "discs_0.tif").unlink()  # after it was opened here
    steps = iter_batch(
        make_recipe(read.prepare(), model, CONFIG),
        [
            ImageJob("a", tmp_path / "a", lambda: read),
            ImageJob("b", tmp_path / "b", lambda: read_image(gone / "discs_1.tif")),
        ],
        model,
        EmbeddingCache(),
        decoder=workers,
    )
    found = finished(steps)
    assert [one.state for one in found] == ["failed", "done"]
    assert "There is no file" in found[0].problem
    np.testing.assert_array_equal(labels_in(tmp_path / "b"), expected(folder, "discs_1", model))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_a_killed_worker_costs_its_tile_again_and_nothing_else(tmp_path, folder, workers, model):
    killed = []
    pids = list(workers._client.run(os.getpid).values())

    def kill_one(step):
        if "Decoding tiles" in step.text and not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    (found,) = finished(steps_of(folder, ["discs_0"], tmp_path, model, workers), kill_one)
    assert killed
    assert found.state == "done"
    np.testing.assert_array_equal(
        labels_in(tmp_path / "discs_0"), expected(folder, "discs_0", model)
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes end otherwise there")
def test_a_lost_scheduler_is_one_sentence_and_what_is_done_is_kept(
    tmp_path, folder, model, cache_folder
):
    scheduler, address = start_scheduler(cache_folder)
    worker = start("dask_worker", address, "--nthreads", "1", "--no-dashboard",
                   "--no-nanny")  # fmt: skip
    try:
        with connected(address, model) as workers:
            workers._client.wait_for_workers(1, timeout=120)
            steps = steps_of(folder, ["discs_0"], tmp_path / "out", model, workers)

            def kill(step):
                if len(list(cache_folder.glob("tiles/*/[!.]*.npz"))) >= 2:
                    scheduler.kill()

            with pytest.raises(BatchStopped, match=r"was lost: run the same command again"):
                finished(steps, kill)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    assert not (tmp_path / "out").exists()
    kept = len(list(cache_folder.glob("tiles/*/[!.]*.npz")))
    assert kept >= 2
    (found,) = finished(steps_of(folder, ["discs_0"], tmp_path / "out", model))
    bank = found.result.bank
    assert bank._counts["crops"] == len(bank.parts(CONFIG)) - kept
    np.testing.assert_array_equal(
        labels_in(tmp_path / "out" / "discs_0"), expected(folder, "discs_0", model)
    )


def start(command, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{command}", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def start_scheduler(folder):
    """Return the process of a scheduler at a free port, and its address."""
    file = folder / "scheduler.json"
    scheduler = start("dask_scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard",
                      "--scheduler-file", file)  # fmt: skip
    until = time.monotonic() + 120
    while time.monotonic() < until and scheduler.poll() is None:
        time.sleep(0.1)
        if file.exists() and file.stat().st_size:
            return scheduler, json.loads(file.read_text())["address"]
    raise AssertionError("the scheduler did not start")


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.fixture
def plane(folder, model):
    path = folder / "discs_0.tif"
    image = read_image(path)
    return PlaneRef(path, image.mapping, image.prepare().key, CONFIG, ModelRef.of(model), THREADS,
                    torch.__version__)  # fmt: skip


@pytest.fixture
def part(folder, model):
    return ProposalBank(read_image(folder / "discs_0.tif").prepare(), model).parts(CONFIG)[0]


def test_a_worker_refuses_other_pixels_weights_or_torch(plane, part):
    assert decode_tile(plane, part)
    with pytest.raises(UserError, match="another image"):
        decode_tile(replace(plane, key="0" * 64), part)
    with pytest.raises(UserError, match="other weights"):
        decode_tile(replace(plane, model=replace(plane.model, identity="0" * 64)), part)
    with pytest.raises(UserError, match=r"torch .* same version"):
        decode_tile(replace(plane, torch="1.0"), part)


@pytest.mark.parametrize("shown", ["inverted", "local_contrast"])
def test_a_worker_shows_the_same_version_of_the_image(folder, plane, model, shown):
    config = CONFIG.replace(shown=shown)
    bank = ProposalBank(read_image(folder / "discs_0.tif").prepare(), model, EmbeddingCache())
    for part in bank.parts(config)[:2]:
        here = pack(reduced(bank, part, config, run(bank.decode(part))))
        assert decode_tile(replace(plane, config=config), part) == here
        assert decode_tile(plane, replace(part, shown="original")) != here


def test_a_worker_reads_an_image_again_that_was_replaced(tmp_path, folder, plane, part, model):
    path = tmp_path / "image.tif"
    path.write_bytes((folder / "discs_0.tif").read_bytes())
    first = decode_tile(replace(plane, path=path), part)
    path.write_bytes((folder / "discs_1.tif").read_bytes())
    other = replace(plane, path=path, key=read_image(path).prepare().key)
    assert decode_tile(other, part) != first


def test_no_scheduler_at_an_address_is_one_sentence(model, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", "1s")
    with (
        pytest.raises(UserError, match="no dask scheduler at tcp://127"),
        connected("tcp://127.0.0.1:9", model),
    ):
        pass


@pytest.mark.parametrize("address", ["local:", "local:0", "local:two"])
def test_a_number_of_workers_is_asked_for(address):
    with pytest.raises(UserError, match="write it like local:4"):
        workers_of(address)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "napari_samstar.api.cluster")
    with pytest.raises(UserError, match=r"pip install napari-samstar\[cluster\]"):
        importlib.import_module("napari_samstar.api.cluster")
