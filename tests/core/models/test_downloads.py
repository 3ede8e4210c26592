from __future__ import annotations

import hashlib
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.models import downloads
from napari_samstar.core.models.downloads import DownloadCancelled, fetch, local_file, models_folder
from napari_samstar.core.models.registry import REGISTRY, ModelInfo

CONTENT = os.urandom(1_500_000)


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT, honestly or not, by the first part of the path."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        kind = self.path.split("/")[1]
        if kind == "missing":
            self.send_error(404)
            return
        body = {"wrong": CONTENT[::-1], "short": CONTENT[:-9], "cut": CONTENT[:900_000]}
        self.send_response(200)
        sent = body.get(kind, CONTENT)
        self.send_header("Content-Length", str(len(CONTENT if kind == "cut" else sent)))
        self.end_headers()
        self.wfile.write(sent)

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
        ("wrong", r"is not that model \(its SHA-256 is wrong\) and was deleted"),
        ("short", r"is not that model \(its SHA-256 is wrong\) and was deleted"),
        ("cut", "broke off after 0.8 of 1.4 MiB and was deleted: try again"),
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


def test_a_stopped_download_leaves_nothing(server, cache):
    steps = []
    with pytest.raises(DownloadCancelled, match="nothing of it was kept"):
        fetch(
            "tiny",
            lambda *step: steps.append(step),
            lambda: len(steps) == 2,
            registry=registry(server + "/good"),
        )
    assert len(steps) == 2
    assert left(cache) == []


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
