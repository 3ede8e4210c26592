from __future__ import annotations

import json

import pytest

from benchmarks import gpu

SMALL = ["--device", "cpu", "--side", "256", "--points", "6", "--repeats", "1", "--no-compile"]


def test_the_benchmark_of_gpus_runs_on_a_cpu(capsys):
    gpu.main(["--models", "tiny", *SMALL])
    found = json.loads(capsys.readouterr().out)
    for kind in ("exact", "fast", "upstream"):
        assert found["tiny"][kind]["seconds"] > 0
    assert found["tiny"]["exact"]["kept"] == found["tiny"]["upstream"]["kept"]
    assert found["tiny"]["iou"]["all"]["n"] == 3 * 36
    assert found["tiny"]["iou"]["all"]["mean"] > 0.9
    assert found["tiny"]["ratios"].keys() >= {"upstream_over_fast", "exact_over_fast"}
    assert "error" not in json.dumps(found)


def test_no_model_begins_when_the_time_is_used_up(capsys):
    gpu.main(["--models", "tiny,vit_h", *SMALL, "--budget-seconds", "0"])
    found = json.loads(capsys.readouterr().out)
    assert "time is used up" in found["vit_h"]


def test_without_a_gpu_it_says_so(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match="no NVIDIA GPU"):
        gpu.main(["--models", "tiny"])
