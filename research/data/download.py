"""Downloads: archives that tensorflow-datasets knows, and the wheel with ml-100k.

The download manager of tensorflow-datasets fetches and verifies an archive without
TensorFlow, which only its own preparation of records needs; here the archive is read.
"""

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from research.data.cache import set_aside
from research.notices import say
from research.types import InputError

CONNECT_SECONDS = 10.0  # for one attempt: the manager itself would try for minutes


class Unavailable(Exception):
    """A source that can't be reached or lacks the data set: the next one is tried."""


class Archive(NamedTuple):
    """An archive to fetch: its address, size in bytes and sha256."""

    url: str
    size: int
    checksum: str


def registered(name: str) -> Archive:
    """The archive of a data set in tensorflow-datasets' own register of checksums.

    Raises:
      Unavailable: tensorflow-datasets isn't there, or doesn't know the data set.
    """
    try:
        from tensorflow_datasets.structured.movielens import Movielens
    except ImportError as error:
        raise Unavailable(f"tensorflow-datasets can't be imported ({error})") from None
    for url, info in Movielens.url_infos.items():
        if urlsplit(url).path.endswith(f"/{name}.zip"):
            return Archive(url, int(info.size), info.checksum)
    raise Unavailable(f"tensorflow-datasets doesn't know {name}")


def download(name: str, archive: Archive, folder: Path, rejected: Path) -> Path:
    """Fetches an archive and verifies its size and checksum.

    Returns:
      The verified archive, in the folder.

    Raises:
      Unavailable: the host can't be reached, or broke off.
      InputError: what arrived has another size or checksum; it is kept aside.
    """
    _reach(archive.url)
    from tensorflow_datasets.core.download import DownloadManager
    from tensorflow_datasets.core.download.checksums import UrlInfo
    from tensorflow_datasets.core.download.download_manager import (
        NonMatchingChecksumError,
    )
    from tensorflow_datasets.core.utils import Size

    info = UrlInfo(Size(archive.size), archive.checksum, f"{name}.zip")
    say(f"downloading {archive.url} ({archive.size / 2**20:.1f} MiB) ...")
    try:
        with _quiet():
            manager = DownloadManager(
                download_dir=folder,
                url_infos={archive.url: info},
                dataset_name=name,
                force_checksums_validation=True,
            )
            return Path(manager.download(archive.url))
    except NonMatchingChecksumError:
        arrived = max(_arrived(folder), key=lambda path: path.stat().st_size)
        size = arrived.stat().st_size
        path = set_aside(arrived.rename(folder / f"{name}.zip"), rejected)
        problem = (
            f"{size} bytes instead of {archive.size}"
            if size != archive.size
            else f"a sha256 other than {archive.checksum[:12]}..."
        )
        raise InputError(
            f"{archive.url}: the download has {problem}; not used, kept as {path}"
        ) from None
    except Exception as error:  # whatever requests, urllib3 and the manager may raise
        for part in _arrived(folder):
            set_aside(part.rename(folder / f"{name}.zip"), rejected)
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise Unavailable(f"{archive.url}: {reason}") from None


def _reach(url: str) -> None:
    """Connects to the host once, with a time limit, unless a proxy is in between."""
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme
    if scheme in getproxies() and not proxy_bypass(host):
        return
    port = parts.port or (443 if scheme == "https" else 80)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise Unavailable(f"the host {host} can't be resolved") from None
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise Unavailable(
            f"the host {host} can't be reached ({error.strerror or error})"
        ) from None


def _arrived(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the manager's log off stderr, and its bars if that isn't a terminal."""
    from tensorflow_datasets.core.utils import tqdm_utils

    tqdm_utils.display_progress_bar(sys.stderr.isatty())
    loggers = [logging.getLogger(name) for name in ("absl", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


REQUIREMENT = "recbole==1.2.1"
INSIDE = "recbole/dataset_example/ml-100k/"  # the folder of its copy
SECONDS = 300  # the wheel has 2 MiB
RETRIES = 2  # pip's own 5 take half a minute where there is no network


def fetch_wheel(folder: Path) -> Path:
    """Fetches the wheel into a folder.

    Raises:
      Unavailable: pip isn't there, finds no index, or takes too long.
    """
    say(f"downloading {REQUIREMENT} for its copy of ml-100k ...")
    command = [sys.executable, "-m", "pip", "download", REQUIREMENT]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--quiet", "--retries", str(RETRIES), "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"pip download {REQUIREMENT}: {error}") from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit status {done.returncode}"
        raise Unavailable(f"pip download {REQUIREMENT}: {reason}")
    return wheels[0]
