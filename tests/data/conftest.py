"""Every test here has its own cache and no hint from the person's environment."""

import os

import pytest

from research.data import movielens
from research.data.download import Unavailable


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    root = tmp_path / "cache"
    monkeypatch.setenv("TWO_TOWER_CACHE", str(root))
    monkeypatch.delenv("MOVIELENS_DIR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def no_archive(monkeypatch):
    """tensorflow-datasets as a source that can't be reached."""

    def unavailable(name):
        raise Unavailable("the host can't be resolved")

    monkeypatch.setattr(movielens, "registered", unavailable)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The only folder pip finds anything in."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder
