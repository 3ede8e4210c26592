from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.models import downloads
from napari_samstar.core.models.downloads import (
    DownloadCancelled,
    fetch,
    local_file,
    models_folder,
    unfinished,
    verify,
)
from napari_samstar.core.models.registry import REGISTRY, ModelInfo

CONTENT = os.urandom(1_500_000)


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT, honestly or not, by the first part of the path."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        kind = self.path.split("/")[1]
        start = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-")
        if kind in ("good", "cut", "other") and int(start):
            self.send_rest(int(start), CONTENT[::-1] if kind == "other" else CONTENT)
            return
        if kind == "missing":
            self.send_error(404)
            return
        body = {"wrong": CONTENT[::-1], "short": CONTENT[:-9], "cut": CONTENT[:900_000]}
        self.send_response(200)
        sent = body.get(kind, CONTENT)
        self.send_header("Content-Length", str(len(CONTENT if kind == "cut" else sent)))
        self.end_headers()
        self.wfile.write(sent)

    def send_rest(self, start, content):
        self.asked[-1] += f" from {start}"
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    Server.asked = []
    http = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def registry(url, size=1_500_000):
    digest = hashlib.sha256(CONTENT).hexdigest()
    info = ModelInfo("tiny", "vit_b", "tiny.pth", f"{url}/tiny.pth", digest, size, "MIT", "For us.")
    return {"tiny": info}


def left(cache):
    return sorted(p.name for p in cache.iterdir()) if cache.exists() else []


def test_a_download_is_complete_reported_and_kept(server, cache, capfd):
    seen = []
    path = fetch("tiny", lambda *step: seen.append(step), registry=registry(server + "/good"))
    assert path == cache / "tiny.pth"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 3
    assert capfd.readouterr() == ("", "")
    fetch("tiny", registry=registry(server + "/good"))
    assert len(Server.asked) == 1
    assert left(cache) == ["tiny.pth"]


def test_a_mirror_replaces_the_address(server, cache):
    nowhere = registry("http://192.0.2.1/never")
    assert fetch("tiny", base_url=server + "/good/", registry=nowhere).read_bytes() == CONTENT
    assert Server.asked == ["/good/tiny.pth"]


def test_a_damaged_file_in_the_cache_is_replaced(server, cache):
    cache.mkdir(parents=True)
    (cache / "tiny.pth").write_bytes(b"half a model")
    assert fetch("tiny", registry=registry(server + "/good")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("missing", "The server answered 404 for tiny.pth: download http.* by hand into .*models"),
        ("wrong", r"is not that model \(its hash is wrong\) and was deleted"),
        ("short", r"is not that model \(its hash is wrong\) and was deleted"),
    ],
)
def test_a_bad_download_leaves_nothing(server, cache, kind, sentence):
    with pytest.raises(UserError, match=sentence):
        fetch("tiny", registry=registry(f"{server}/{kind}"))
    assert left(cache) == []


def test_a_bad_download_does_not_touch_what_was_there(server, cache):
    cache.mkdir(parents=True)
    (cache / "tiny.pth").write_bytes(b"by hand")
    with pytest.raises(UserError, match="404"):
        fetch("tiny", registry=registry(server + "/missing"))
    assert (cache / "tiny.pth").read_bytes() == b"by hand"


def test_without_a_network_the_error_says_what_to_do(cache):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UserError) as caught:
            fetch("tiny", registry=registry(url))
    said = str(caught.value)
    assert "cannot be reached from here" in said
    assert f"download {url}/tiny.pth by hand into {cache}" in said
    assert "or give its path" in said
    assert left(cache) == []


def test_a_download_that_broke_off_goes_on(server, cache):
    with pytest.raises(UserError, match=r"broke off after 0\.[78] of 1\.4 MiB: try again, which"):
        fetch("tiny", registry=registry(server + "/cut"))
    assert left(cache) == ["tiny.pth.part"]
    have = (cache / "tiny.pth.part").stat().st_size
    seen = []
    path = fetch("tiny", lambda *step: seen.append(step), registry=registry(server + "/cut"))
    assert path.read_bytes() == CONTENT
    assert Server.asked == ["/cut/tiny.pth", f"/cut/tiny.pth from {have}"]
    assert have < seen[0][0] <= seen[-1][0] == seen[-1][1] == len(CONTENT)
    assert left(cache) == ["tiny.pth"]


def test_a_stopped_download_goes_on(server, cache):
    steps = []
    with pytest.raises(DownloadCancelled, match="it goes on from there"):
        fetch(
            "tiny",
            lambda *step: steps.append(step),
            lambda: len(steps) == 2,
            registry=registry(server + "/good"),
        )
    assert len(steps) == 2
    assert left(cache) == ["tiny.pth.part"]
    assert fetch("tiny", registry=registry(server + "/good")).read_bytes() == CONTENT
    assert Server.asked[1] == f"/good/tiny.pth from {steps[-1][0]}"
    assert left(cache) == ["tiny.pth"]


def with_part(cache, content, name="tiny.pth.part"):
    cache.mkdir(parents=True)
    (cache / name).write_bytes(content)


def test_a_server_that_cannot_go_on_sends_all_again(server, cache):
    with_part(cache, CONTENT[:500])
    assert fetch("tiny", registry=registry(server + "/whole")).read_bytes() == CONTENT
    assert left(cache) == ["tiny.pth"]


def test_a_complete_part_only_gets_its_name(server, cache):
    with_part(cache, CONTENT)
    assert fetch("tiny", registry=registry(server + "/good")).read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_fetched_anew(server, cache):
    with_part(cache, CONTENT + b"more")
    assert fetch("tiny", registry=registry(server + "/good")).read_bytes() == CONTENT
    assert Server.asked[1:] == ["/good/tiny.pth"]


def test_a_part_of_another_file_is_found_by_the_hash(server, cache):
    with_part(cache, CONTENT[:500])
    with pytest.raises(UserError, match="its hash is wrong"):
        fetch("tiny", registry=registry(server + "/other"))
    assert left(cache) == []


def test_what_a_killed_process_left_is_taken_over(server, cache):
    killed = subprocess.Popen([sys.executable, "-c", "pass"])
    killed.wait()
    with_part(cache, CONTENT[:700], f"tiny.pth.{killed.pid}-1.part")
    (cache / "tiny.pth.part").write_bytes(CONTENT[:300])
    alive = cache / f"tiny.pth.{os.getpid()}-1.part"
    alive.write_bytes(CONTENT[:900])
    assert unfinished(registry(server)["tiny"]) == 700
    assert fetch("tiny", registry=registry(server + "/good")).read_bytes() == CONTENT
    assert Server.asked == ["/good/tiny.pth from 700"]
    assert left(cache) == sorted(["tiny.pth", alive.name])


def test_the_hash_that_micro_sam_publishes(server, cache):
    xxhash = pytest.importorskip("xxhash", reason="xxhash is not installed: pip install -e .")
    digest = xxhash.xxh128(CONTENT).hexdigest()
    info = replace(registry(server + "/good")["tiny"], sha256=None, xxh128=digest)
    assert fetch("tiny", registry={"tiny": info}).read_bytes() == CONTENT
    assert verify(info) == "ok"
    with pytest.raises(UserError, match="its hash is wrong"):
        fetch("tiny", registry={"tiny": replace(info, xxh128="0" * 32)})
    assert (cache / "tiny.pth").read_bytes() == CONTENT


def test_the_error_names_the_file_where_the_address_does_not(server, cache):
    info = replace(registry(server)["tiny"], url=f"{server}/missing/download")
    with pytest.raises(UserError, match=r"by hand into .*models as tiny\.pth, or"):
        fetch("tiny", registry={"tiny": info})


def test_verify_says_what_lies_there(server, cache):
    info = registry(server + "/good")["tiny"]
    assert verify(info) == "not downloaded"
    fetch("tiny", registry={"tiny": info})
    assert verify(info) == "ok"
    (cache / "tiny.pth").write_bytes(CONTENT[:-1] + b"x")
    assert verify(info) == "damaged"


def test_verify_looks_at_the_bundled_model(monkeypatch, tmp_path):
    info = REGISTRY["pocket"]
    assert verify(info) == "ok"
    whole = local_file(info).read_bytes()
    monkeypatch.setattr(downloads, "PACKAGE", tmp_path)
    assert verify(info) == "damaged"
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "pocket.safetensors").write_bytes(whole[: len(whole) // 2])
    assert verify(info) == "damaged"


def test_a_full_disk_is_found_before_the_download(server):
    with pytest.raises(UserError, match=r"needs .* MiB in .*SAMSTAR_CACHE"):
        fetch("tiny", registry=registry(server + "/good", size=2**60))
    assert Server.asked == []


def test_a_cache_that_cannot_be_made(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set SAMSTAR_CACHE to a folder of yours"):
        fetch("tiny", registry=registry("http://127.0.0.1:1"))


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UserError, match="choose one of pocket, mobile_sam, vit_b, vit_l, vit_h"):
        fetch("vit_x")


def test_the_cache_folder(monkeypatch, cache):
    assert models_folder() == cache
    monkeypatch.delenv("SAMSTAR_CACHE")
    assert models_folder().name == "models"
    assert "napari-samstar" in str(models_folder())


def test_the_bundled_model_needs_no_network(monkeypatch, tmp_path):
    path = local_file(REGISTRY["pocket"])
    assert path.parent.name == "weights"
    monkeypatch.setattr(downloads, "PACKAGE", tmp_path)
    with pytest.raises(UserError, match="reinstall napari-samstar"):
        fetch("pocket")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "pocket.safetensors").touch()
    assert fetch("pocket") == tmp_path / "weights" / "pocket.safetensors"
