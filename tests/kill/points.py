"""Kills a writer at every change of a folder: python -m tests.kill.points WRITER PLACE.

Each time in a process of its own: what it leaves is the earlier files, the new ones, or
files that no reader takes for whole, and the next call writes as if nothing had been.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from research.data import load
from research.data.cache import read_cached, write_cached
from research.data.writers import Written, write_split
from research.events import catalogue
from research.files import PART, replace
from research.splits import parts
from tests.data.own import csv_text, write
from tests.experiments.made import contents

CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")


def killed(at: int, folder: Path, call: Callable[[], object]) -> bool:
    """Whether a call, in a child, came to its change of a folder of that number."""
    child = os.fork()
    if not child:
        left = [at]

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            if event in CHANGES and str(arguments[0]).startswith(str(folder)):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        call()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return bool(status)


def one_file(root: Path):
    path = replace(root / "a.txt", b"earlier")
    yield lambda: replace(path, b"new " * 9999)
    while True:
        assert path.read_bytes() in (b"earlier", b"new " * 9999)
        yield None


def vectors(root: Path):
    from experiments.commands.export import write_vectors

    def export(n: int):
        side = {"ids": np.arange(n), "vectors": np.full((n, 2), n)}
        rows = [{"user": n}] if n == 2 else None
        return lambda: write_vectors(root, side, side, {"users": n}, rows)

    export(2)()
    earlier = contents(root)
    yield export(3)
    new = None
    while True:
        found = {k: v for k, v in contents(root).items() if PART not in k}
        if "meta.json" in found and found != earlier:
            assert sorted(found) == ["items.npz", "meta.json", "users.npz"]
            assert all(found[name] != earlier[name] for name in found)
            new = new or found
            assert found == new
        yield None


def split(root: Path):
    write(root.parent / "shop" / "interactions.csv", csv_text())
    write(root.parent / "shop" / "items.csv", "item,price\n0005,3\n76X,4\n")
    write(root.parent / "shop" / "users.csv", "user,age\nann,30\nbob,40\n")
    events = catalogue(load(str(root.parent / "shop")))
    written = Written("shop", events, parts("given", events), rated=True)
    yield lambda: write_split("parts", written, root)
    while True:
        if (root / "interactions.csv").exists():
            assert {"items.csv", "users.csv"} <= {path.name for path in root.iterdir()}
        yield None


def model(root: Path):
    from research.config import Config
    from research.saved.files import load_model, save_model
    from research.saved.model import SavedModel
    from research.types import Table

    ids = Table(np.arange(7), {})

    def save(dim: int):
        vectors = np.full((7, dim), dim, np.float32)
        params = {"tables": {"item": vectors}, "user": {"a": vectors}, "item": {}}
        made = SavedModel(
            Config(dim=dim), params, ids, ids, np.ones(7, int), vectors, 0.1, True,
            {"dataset": "made"},
        )  # fmt: skip
        return lambda: save_model(made, root)

    save(4)()
    yield save(6)
    while True:
        found = load_model(root)
        assert found.item_vectors.shape == (7, found.config.dim)
        assert (found.item_vectors == found.config.dim).all()
        yield None


def cache(root: Path):
    ratings = load(str(write(root.parent / "shop.csv", csv_text())))
    yield lambda: write_cached(root, ratings)
    while True:
        found = read_cached(root, "shop")
        assert found is None or found.digest == ratings.digest
        assert found is not None or not list(root.glob("*.npz"))
        yield None


WRITERS = {each.__name__: each for each in (one_file, vectors, split, model, cache)}


def main(name: str, place: str) -> None:
    """Kills the writer at its first change, at its second, and so on to its last."""
    at, more, whole = 0, True, None
    while more:
        folder = Path(place) / str(at) / "made"
        folder.mkdir(parents=True)
        checks = WRITERS[name](folder)
        call = next(checks)
        more = killed(at, folder, call)
        next(checks)
        call()
        next(checks)
        left = list(folder.rglob(f"*{PART}*"))
        assert not left, left
        found = contents(folder)
        assert whole in (None, found), found.keys()
        whole, at = found, at + 1
    print(f"{name}: killed {at - 1} times")


if __name__ == "__main__":
    main(*sys.argv[1:])
