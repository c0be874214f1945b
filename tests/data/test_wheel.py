"""MovieLens 100K from a wheel: pip itself, and a made wheel in its only folder."""

import sys

import pytest

from research.data import DATASETS, load
from tests.data.miniature import RATINGS, wheel_files, write_100k, write_wheel
from tests.refusal import refusal

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_archive")]


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """The miniature's digest as the one ml-100k must have."""
    digest = load("ml-100k", str(write_100k(tmp_path))).digest
    record = DATASETS["ml-100k"]._replace(digest=digest)
    monkeypatch.setitem(DATASETS, "ml-100k", record)
    return digest


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetched_verified_and_kept(trusted, index, cache, capsys):
    path = write_wheel(index)
    assert load("ml-100k").digest == trusted
    assert names(cache) == [f"ml-100k-{trusted}.npz"]
    assert capsys.readouterr() == (
        "",
        "ml-100k: the host can't be resolved; going on to the next source\n"
        "downloading recbole==1.2.1 for its copy of ml-100k ...\n",
    )
    path.unlink()
    assert load("ml-100k").digest == trusted
    assert capsys.readouterr() == ("", "")
    assert "recbole" not in sys.modules


def test_another_digest_is_kept_aside_and_not_used(trusted, index, cache):
    path = write_wheel(index, wheel_files(RATINGS[1:]))
    line, kept = refusal(load, "ml-100k"), cache / f"{path.name}.rejected"
    assert f"instead of {trusted[:12]}...; not used, kept as {kept}" in line
    assert kept.read_bytes() == path.read_bytes()
    assert names(cache) == [kept.name]


def test_no_source_at_all(index, cache):
    line = refusal(load, "ml-100k")
    assert line.startswith(
        "ml-100k: no source has it; tried the host can't be resolved; "
    )
    assert "pip download recbole==1.2.1: ERROR: " in line
    assert line.endswith("--data-dir")
    assert names(cache) == []
