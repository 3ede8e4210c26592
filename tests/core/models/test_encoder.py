from __future__ import annotations

import dataclasses
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from segment_anything import SamPredictor

from benchmarks.bank import discs
from napari_samstar.core.models import encoder
from napari_samstar.core.models.encoder import EmbeddingCache, default_cache, embedding_key
from tests.core.tiny import tiny_model

CROP = discs((40, 60)).rgb
MODEL = tiny_model()
BYTES = 64 * 16 * 16 * 4


@pytest.fixture
def encoded(monkeypatch):
    """Return a list that grows with every run of the encoder."""
    runs = []
    real = encoder.encode

    def counted(model, crop):
        runs.append(crop.shape)
        return real(model, crop)

    monkeypatch.setattr(encoder, "encode", counted)
    return runs


def crops(n):
    return [discs((40, 60), seed).rgb for seed in range(n)]


def test_an_embedding_is_what_set_image_makes():
    embedding = EmbeddingCache().encode(MODEL, CROP)
    predictor = MODEL.backend.predictor(embedding)
    reference = SamPredictor(MODEL.sam)
    reference.set_image(CROP)
    assert torch.equal(predictor.features, reference.features)
    assert predictor.original_size == reference.original_size == (40, 60)
    assert predictor.input_size == reference.input_size
    assert embedding.nbytes == BYTES


def test_memory_answers_the_second_time(encoded):
    cache = EmbeddingCache()
    assert cache.get(MODEL, CROP) is None
    assert cache.encode(MODEL, CROP) is cache.encode(MODEL, CROP.copy())
    assert len(encoded) == 1


def test_the_disk_answers_another_session(encoded, tmp_path):
    first = EmbeddingCache(tmp_path / "new").encode(MODEL, CROP)
    second = EmbeddingCache(tmp_path / "new").encode(MODEL, CROP)
    assert len(encoded) == 1
    assert torch.equal(first.features, second.features)
    assert (first.original_size, first.input_size) == (second.original_size, second.input_size)
    assert [p.suffix for p in (tmp_path / "new").iterdir()] == [".safetensors"]


def test_clearing_memory_leaves_files(encoded, tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.encode(MODEL, CROP)
    cache.clear_memory()
    assert cache.get(MODEL, CROP) is not None
    assert len(encoded) == 1


def damaged(path):
    path.write_bytes(path.read_bytes()[:100])


def emptied(path):
    path.write_bytes(b"")


def foreign(path):
    save_file({"other": torch.zeros(2)}, path)


def short(path):
    save_file({"features": torch.zeros(2), "sizes": torch.zeros(2)}, path)


@pytest.mark.parametrize("spoil", [damaged, emptied, foreign, short])
def test_a_damaged_file_is_encoded_again(encoded, tmp_path, spoil):
    good = EmbeddingCache(tmp_path).encode(MODEL, CROP)
    (path,) = tmp_path.iterdir()
    spoil(path)
    again = EmbeddingCache(tmp_path).encode(MODEL, CROP)
    assert torch.equal(good.features, again.features)
    assert EmbeddingCache(tmp_path).get(MODEL, CROP) is not None
    assert len(encoded) == 2


def test_a_folder_that_cannot_be_made_costs_nothing_but_time(encoded, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    cache = EmbeddingCache(blocker / "cache")
    assert cache.encode(MODEL, CROP).original_size == (40, 60)
    assert cache.encode(MODEL, CROP) is not None
    assert len(encoded) == 1


@pytest.mark.skipif(
    os.name == "nt" or getattr(os, "geteuid", int)() == 0,
    reason="no folder is read-only to root, nor by mode on Windows",
)
def test_a_read_only_folder_costs_nothing_but_time(tmp_path):
    tmp_path.chmod(0o500)
    assert EmbeddingCache(tmp_path).encode(MODEL, CROP).original_size == (40, 60)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def full(data, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encoder, "save_file", full)
    assert EmbeddingCache(tmp_path).encode(MODEL, CROP).original_size == (40, 60)
    assert list(tmp_path.iterdir()) == []


def test_memory_keeps_what_was_used_last():
    first, second, third = crops(3)
    cache = EmbeddingCache(memory_bytes=2 * BYTES)
    cache.encode(MODEL, first)
    cache.encode(MODEL, second)
    cache.get(MODEL, first)
    cache.encode(MODEL, third)
    assert [cache.get(MODEL, c) is not None for c in (first, second, third)] == [True, False, True]


def test_one_embedding_is_kept_however_small_the_bound(encoded):
    cache = EmbeddingCache(memory_bytes=0)
    cache.encode(MODEL, CROP)
    cache.encode(MODEL, CROP)
    assert len(encoded) == 1


def test_the_disk_keeps_what_was_used_last(tmp_path):
    first, second, third = crops(3)
    cache = EmbeddingCache(tmp_path, memory_bytes=0, disk_bytes=int(2.5 * BYTES))
    for age, crop in ((300, first), (200, second)):
        cache.encode(MODEL, crop)
        path = tmp_path / f"{embedding_key(MODEL, crop)}.safetensors"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    cache.get(MODEL, first)  # used again, so it is the newest
    cache.encode(MODEL, third)
    kept = {p.stem for p in tmp_path.iterdir()}
    assert kept == {embedding_key(MODEL, first), embedding_key(MODEL, third)}


def test_the_key_follows_pixels_shape_weights_and_threads():
    other = CROP.copy()
    other[0, 0, 0] ^= 1
    threads = torch.get_num_threads()
    keys = {
        embedding_key(MODEL, CROP),
        embedding_key(MODEL, other),
        embedding_key(MODEL, CROP.reshape(60, 40, 3)),
        embedding_key(dataclasses.replace(MODEL, sha256="other"), CROP),
    }
    try:
        torch.set_num_threads(threads + 1)
        keys.add(embedding_key(MODEL, CROP))
    finally:
        torch.set_num_threads(threads)
    assert len(keys) == 5
    assert embedding_key(MODEL, np.asfortranarray(CROP)) == embedding_key(MODEL, CROP)


def test_the_default_cache_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    cache = default_cache()
    cache.encode(MODEL, CROP)
    assert len(list((tmp_path / "embeddings").iterdir())) == 1
    shutil.rmtree(tmp_path / "embeddings")
    assert cache.get(MODEL, CROP) is not None
