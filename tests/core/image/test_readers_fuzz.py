"""TIFF files of many kinds are read as the picture that was meant, or refused."""

from __future__ import annotations

from benchmarks.read_fuzz import measure


def test_no_file_of_five_hundred_is_silently_wrong():
    found = measure(500, seed=7)
    assert found["wrong_cases"] == []
    assert found["read"] >= 480
    assert found["not written"] + found.get("refused", 0) <= 20


def test_a_wrong_reader_would_be_seen(monkeypatch):
    from napari_samstar.core.image.readers import tiff_samples

    monkeypatch.setattr(tiff_samples, "_ALPHA", ())
    assert measure(100, seed=7)["wrong"] > 0
