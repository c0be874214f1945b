"""MovieLens 100K from a wheel: pip itself, and a made wheel in its only folder."""

import sys

import pytest

from research.data import DATASETS, load
from research.data import download as wheel
from research.types import InputError
from tests.data.miniature import RATINGS, wheel_files, write_100k, write_wheel

pytestmark = pytest.mark.usefixtures("no_archive")


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
    with pytest.raises(InputError) as caught:
        load("ml-100k")
    kept = cache / f"{path.name}.rejected"
    assert f"instead of {trusted[:12]}...; not used, kept as {kept}" in str(
        caught.value
    )
    assert kept.read_bytes() == path.read_bytes()
    assert names(cache) == [kept.name]


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (
            wheel_files() | {"ml-100k.user": "id\nx\n"},
            r"ml-100k\.user:1: expected columns",
        ),
        ({}, r"ml-100k\.inter: not there"),
    ],
)
def test_a_wheel_that_cannot_be_read_is_kept_aside(files, what, index, cache):
    path = write_wheel(index, files)
    with pytest.raises(InputError, match=what):
        load("ml-100k")
    assert names(cache) == [f"{path.name}.rejected"]


def test_no_source_at_all(index, cache):
    with pytest.raises(InputError) as caught:
        load("ml-100k")
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(
        "ml-100k: no source has it; tried the host can't be resolved; "
    )
    assert "pip download recbole==1.2.1: ERROR: " in line
    assert line.endswith("--data-dir")
    assert names(cache) == []


def test_only_100k_is_in_a_wheel(index):
    write_wheel(index)
    with pytest.raises(InputError, match="no wheel has a copy"):
        load("ml-1m")


def test_no_pip(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(wheel.Unavailable, match="No such file"):
        wheel.fetch_wheel(tmp_path)
