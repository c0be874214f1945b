"""The path through tensorflow-datasets, against a real server on 127.0.0.1."""

import hashlib
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from research.data import DATASETS, download, load, movielens
from research.data.download import Archive, registered
from research.types import InputError
from tests.data.miniature import write_csv, zipped
from tests.process import ROOT
from tests.refusal import refusal


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        self.send_response(server.status)
        self.send_header("Content-Length", str(server.announced or len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.body, served.announced, served.status, served.asked = b"", 0, 200, []
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        yield served
        served.shutdown()
        thread.join()


@pytest.fixture
def archive(server, tmp_path, monkeypatch):
    """ml-20m in miniature on the server, registered with its size and checksum."""
    body = zipped(write_csv(tmp_path, "ml-20m"), "ml-20m", tmp_path / "z").read_bytes()
    server.body = body
    url = f"http://127.0.0.1:{server.server_port}/datasets/ml-20m.zip"
    record = Archive(url, len(body), hashlib.sha256(body).hexdigest())
    monkeypatch.setattr(movielens, "registered", lambda name: record)
    return record


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetched_verified_read_and_kept(archive, server, cache, tmp_path, capsys):
    ratings = load("ml-20m")
    assert ratings.digest == load("ml-20m", str(tmp_path)).digest
    assert names(cache) == [f"ml-20m-{ratings.digest}.npz"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"downloading {archive.url} (0.0 MiB) ...\n"
    assert load("ml-20m").digest == ratings.digest
    assert server.asked == ["/datasets/ml-20m.zip"]  # the second time from the cache


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (lambda body: body[:-1] + b"?", "a sha256 other than"),
        (lambda body: body[:-9], "bytes instead of"),
        (lambda body: body + b"?", "bytes instead of"),
        (lambda body: b"<html>please log in</html>", "bytes instead of"),
    ],
)
def test_another_file_is_kept_aside_and_not_used(body, what, archive, server, cache):
    server.body = body(server.body)
    line, kept = refusal(load, "ml-20m"), cache / "ml-20m.zip.rejected"
    assert line.startswith(f"{archive.url}: the download has ")
    assert what in line
    assert line.endswith(f"not used, kept as {kept}")
    assert kept.read_bytes() == server.body
    assert names(cache) == [kept.name]


def test_a_transfer_that_breaks_off(archive, server, cache, capsys):
    server.body, server.announced = server.body[:200], len(server.body)
    with pytest.raises(InputError, match=r"^ml-20m: no source has it; tried "):
        load("ml-20m")
    assert f"ml-20m: {archive.url}: " in capsys.readouterr().err
    assert names(cache) == ["ml-20m.zip.rejected"]


STALLED = """
import sys
from research.data import load, movielens
from research.data.download import Archive
movielens.registered = lambda name: Archive(sys.argv[1], 1000, "0" * 64)
load("ml-20m")
"""


def waiting(path, at_least, process):
    """Waits until a folder has as many downloads, or the process ended."""
    for _ in range(600):
        found = list(path.glob("download-*"))
        if len(found) >= at_least:
            return found
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    raise AssertionError(f"no {at_least} downloads in {path}")


@pytest.mark.slow
def test_what_a_killed_download_left_goes_at_the_next_one(archive, cache, tmp_path):
    with socket.socket() as silent:  # takes connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/ml-20m.zip"
        command = [sys.executable, "-c", STALLED, url]
        pipes = {"stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
        with (
            subprocess.Popen(command, **pipes) as killed,
            subprocess.Popen(command, **pipes) as running,
        ):
            try:
                assert len(waiting(cache, 2, running)) == 2  # they don't disturb
                killed.kill()
                killed.wait()
                ratings = load("ml-20m")
                (left,) = waiting(cache, 1, running)
                assert str(running.pid) in left.name
                assert names(cache) == [left.name, f"ml-20m-{ratings.digest}.npz"]
            finally:
                killed.kill()
                running.kill()


def test_a_server_without_the_file(archive, server, cache):
    server.status = 404
    with pytest.raises(InputError, match="404"):
        load("ml-20m")
    assert names(cache) == []


def test_a_host_without_an_address_is_given_up_at_once(monkeypatch, tmp_path, capsys):
    asked = []

    def unresolved(host, port, **options):
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    record = Archive("http://films.invalid/ml-20m.zip", 1, "0")
    monkeypatch.setattr(movielens, "registered", lambda name: record)
    with pytest.raises(InputError, match=r"films\.invalid can't be resolved"):
        load("ml-20m")
    assert asked == ["films.invalid"]
    first = capsys.readouterr().err.splitlines()[0]
    assert first == (
        "ml-20m: the host films.invalid can't be resolved; going on to the next source"
    )


def test_a_proxy_is_asked_instead(archive, server, monkeypatch, tmp_path):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    url = "http://films.invalid/ml-20m.zip"
    record = Archive(url, archive.size, archive.checksum)
    path = download.download("ml-20m", record, tmp_path / "d", tmp_path)
    assert path.read_bytes() == server.body
    assert server.asked == [url]


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_is_registered(name):
    record = registered(name)
    assert urlsplit(record.url).path.endswith(f"/{name}.zip")
    assert record.size > 500_000
    assert len(bytes.fromhex(record.checksum)) == 32
