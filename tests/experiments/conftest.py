"""A made MovieLens folder, tiny arms and grids, and the command line in process."""

import shutil

import pytest

from experiments.__main__ import main
from experiments.arms import ARMS
from experiments.grids import GRIDS
from experiments.studies import STUDIES
from experiments.study import SIMULATED
from tests.data.own import csv_text, write
from tests.experiments.made import (
    TINY,
    Called,
    grids,
    made_ratings,
    write_made_100k,
    write_made_latest_small,
)

# Studies that read no data, and refuse its folder.
SIMULATING = {name for name, study in STUDIES.items() if study.place == SIMULATED}


@pytest.fixture(autouse=True)
def own_place(monkeypatch, tmp_path):
    """No cache and no hint of the person's; tiny arms and grids beside the real ones.

    ``results/`` is looked for in the working directory: here there is none.
    """
    _own(monkeypatch, tmp_path)


def _own(monkeypatch, place):
    monkeypatch.setenv("TWO_TOWER_CACHE", str(place / "cache"))
    monkeypatch.delenv("MOVIELENS_DIR", raising=False)
    for name, changes in TINY.items():
        monkeypatch.setitem(ARMS, name, changes)
    for grid in grids():
        monkeypatch.setitem(GRIDS, grid.name, grid)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A folder that holds the made ml-100k and ml-latest-small."""
    root = tmp_path_factory.mktemp("grouplens")
    write_made_100k(root)
    write_made_latest_small(root)
    return root


@pytest.fixture(scope="session")
def made_few(data, tmp_path_factory):
    """The finished grid ``few`` of this session: whoever needs it takes a copy."""
    place = tmp_path_factory.mktemp("few")
    return _made(place, data, "run", "few", "--jobs", "1") / "out"


@pytest.fixture(scope="session")
def made_tiny(data, tmp_path_factory):
    """A place with a finished run of ``tiny+prior`` in ``out`` and its ``model``."""
    place = tmp_path_factory.mktemp("tiny")
    words = ("train", "--arm", "tiny+prior", "--save", str(place / "model"))
    return _made(place, data, *words)


def _made(place, data, *words):
    words = [*words, "--data-dir", str(data), "--out", str(place / "out")]
    with pytest.MonkeyPatch.context() as patch:
        _own(patch, place)
        assert main(words) == 0
    return place


@pytest.fixture
def few(made_few, tmp_path):
    """An output folder of one's own with the finished grid ``few``."""
    return shutil.copytree(made_few, tmp_path / "few")


@pytest.fixture
def tiny(made_tiny, tmp_path):
    """An output folder of one's own with that run; its model is beside it."""
    return shutil.copytree(made_tiny, tmp_path, dirs_exist_ok=True) / "out"


@pytest.fixture
def call(capsys, data):
    """Calls the command line on the made data: its exit status, stdout and stderr."""

    def call(*words) -> Called:
        words = [str(word) for word in words]
        reads = words[0] in ("run", "train") and not SIMULATING & set(words)
        if reads and "--data-dir" not in words and not _names_a_path(words):
            words += ["--data-dir", str(data)]
        if words[0] == "run" and "--jobs" not in words:
            words += ["--jobs", "1"]
        capsys.readouterr()
        status = main(words)
        return Called(status, *capsys.readouterr())

    return call


def _names_a_path(words: list[str]) -> bool:
    """Whether the data set is a file or a folder, for which no folder is named."""
    place = words.index("--dataset") + 1 if "--dataset" in words else len(words)
    return any("/" in word for word in words[place : place + 1])


@pytest.fixture
def done(call):
    """Calls the command line as ``call`` does; its exit status must be 0."""

    def done(*words) -> Called:
        called = call(*words)
        assert called.status == 0, called
        return called

    return done


@pytest.fixture
def shop(tmp_path):
    """A file of text ids without timestamps, in a folder whose name isn't clean."""
    rows = [(f"u{u}", f"000{i}X") for u, i, stars, _ in made_ratings() if stars > 3]
    path = tmp_path / "my data" / "corner shop.csv"
    return str(write(path, csv_text(rows, "uid,item")))
