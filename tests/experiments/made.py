"""Made data in GroupLens's layouts, large enough to train on, and a tiny recipe."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.grid import Grid
from tests.data.miniature import FLAGS, write_100k

N_USERS, N_ITEMS, A_USER = 60, 130, 18
WORKS = ("writer", "other", "artist")

SMALL = {
    "user_features": (),
    "item_features": ("id",),
    "history": 5,
    "dim": 8,
    "user_hidden": (8,),
    "item_hidden": (8,),
    "batch": 128,
    "epochs": 2,
    "learning_rate": 1e-3,
    "table_rate": 1.0,  # so that two epochs lead downhill
}
# One shape, so that all of them together compile one epoch.
TINY = {
    "tiny": SMALL,
    "tiny+prior": {**SMALL, "prior": 1.0},
    "tiny+logq": {**SMALL, "logq": 1.0},
    "tiny+lengths": {**SMALL, "serve_norm": "dot"},
    "tiny-long": {**SMALL, "epochs": 250},
    "exploding": {**SMALL, "learning_rate": 1e38},
}


def grids() -> list[Grid]:
    """The tiny grids."""
    # Without figures, which take as long as all its runs: who tests one asks for it.
    shared = {"question": "?", "minutes": "0", "seeds": 2, "figures": {}}
    arms = ("popularity", "tiny", "tiny+prior", "tiny+logq")
    values = {"temperature": (0.05, 0.2, 1.0)}
    return [
        Grid(name="few", arms=arms, reference="tiny", swept={}, **shared),
        Grid(name="warm", arms=arms[:2], reference="tiny", swept=values, **shared),
        Grid(
            name="holed",
            arms=("tiny", "exploding"),
            reference="tiny",
            swept={},
            **shared,
        ),
        Grid(
            name="killed",
            arms=("tiny", "tiny-long", "tiny+logq"),
            reference="tiny",
            swept={},
            **{**shared, "seeds": 1},
        ),
    ]


class Called(NamedTuple):
    """What a call of the command line gave."""

    status: int
    out: str
    err: str


def refused(called: Called, *parts: str) -> None:
    """It is one line for a person, with all the parts in it."""
    assert called.status == 2, called
    assert called.err.startswith("error: "), called.err
    assert called.err.count("\n") == 1
    assert called.err.endswith("\n")
    assert "Traceback" not in called.err
    for part in parts:
        assert part in called.err
    assert "finished already" not in called.out  # refused before anything is begun


def flip(path: Path) -> None:
    """Turns bits in 64 bytes in the middle of a file.

    One byte could be the date of a part of a zip file, which nothing depends on.
    """
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    for place in range(max(middle - 32, 0), min(middle + 32, len(content))):
        content[place] ^= 4
    path.write_bytes(bytes(content))


def made_ratings(
    items: int = N_ITEMS, users: int = N_USERS, each: int = A_USER
) -> list[tuple[int, int, int, int]]:
    """(user, item, stars, seconds): popularity falls with the id, few times tie.

    Every item is a positive of somebody.
    """
    draw = np.random.default_rng(0)
    weight = 1.0 / np.arange(1, items + 1)
    rows = []
    for user in range(1, users + 1):
        chosen = draw.choice(items, each, replace=False, p=weight / weight.sum())
        own = [item for item in range(items) if item % users == user - 1]
        for item in dict.fromkeys([*own, *(int(item) for item in chosen)]):
            stars = 4 + (user + item) % 2 if item in own or (user + item) % 9 else 3
            rows.append((user, item + 1, stars, int(draw.integers(10**9))))
    return rows


def made_films(items: int = N_ITEMS) -> list[tuple]:
    return [
        (i, f"Film {i}", 1950 + i % 40, (FLAGS[1 + i % 18], FLAGS[1 + i % 7]))
        for i in range(1, items + 1)
    ]


def made_users(users: int = N_USERS) -> list[tuple]:
    return [
        (u, 20 + u % 40, "MF"[u % 2], WORKS[u % 3], f"{10000 + u}")
        for u in range(1, users + 1)
    ]


def write_made_100k(root: Path, items: int = N_ITEMS) -> Path:
    """A folder that holds an ml-100k; with demographics, genres and years."""
    return write_100k(root, made_ratings(items), made_films(items), made_users())


def write_larger_100k(root: Path) -> Path:
    """An ml-100k with the positives and items that the real grids ask for."""
    ratings = made_ratings(items=1400, users=500, each=60)
    return write_100k(root, ratings, made_films(1400), made_users(500))


def write_made_latest_small(root: Path) -> Path:
    """A folder that holds an ml-latest-small: the same ratings, no demographics."""
    folder = root / "ml-latest-small"
    folder.mkdir(parents=True)
    lines = [f"{u},{i},{float(r)},{t}\n" for u, i, r, t in made_ratings()]
    (folder / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n" + "".join(lines)
    )
    lines = [
        f"{i},{title} ({year}),{'|'.join(dict.fromkeys(genres))}\n"
        for i, title, year, genres in made_films()
    ]
    (folder / "movies.csv").write_text("movieId,title,genres\n" + "".join(lines))
    return root


def contents(folder: Path, pattern: str = "**/*") -> dict[str, bytes]:
    """Every file under a folder: its path there, its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def choices(out: Path) -> dict[str, list[dict[str, str]]]:
    """Rows of all choices of an output folder, without seconds."""
    return {
        path.name: [row | {"seconds": ""} for row in csv.DictReader(lines)]
        for path in out.glob("choices/*/*.csv")
        for lines in [path.read_text().splitlines()]
    }


def without_seals(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files, of metrics.json the metrics alone: a seal names the times of a run."""
    whole = dict(files)
    for name in files:
        if name.endswith("metrics.json"):
            numbers = json.loads(files[name])
            del numbers["seal"]
            whole[name] = json.dumps(numbers).encode()
    return whole


def runs_of(out: Path, grid: str, dataset: str = "ml-100k") -> list[Path]:
    """The folders of a grid's runs."""
    return sorted((out / "runs" / dataset / grid).glob("*/"))
