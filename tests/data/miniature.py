"""A handful of ratings in every layout, written by hand rather than by the library."""

import zipfile
from pathlib import Path

import numpy as np

from research.types import Table

# id, age, gender, occupation, zip
USERS = (
    (1, 24, "M", "technician", "85711"),
    (2, 53, "F", "other", "94043"),
    (7, 33, "F", "writer", "T8H1N"),
)
# id, title, year, genres. Film 30 is never rated; 267 and 1412 are 100K's two oddities.
FILMS = (
    (1, "Toy Story", 1995, ("Animation", "Children's", "Comedy")),
    (5, "Misérables, Les", 1995, ("Drama", "Musical")),
    (30, "Good Morning", 1971, ("War",)),
    (267, "unknown", 0, ()),
    (1412, "Land Before Time III", 1995, ("Animation", "Children's")),
)
# user, item, stars, seconds; not sorted.
RATINGS = (
    (7, 1412, 3, 881250949),
    (1, 5, 4, 881250950),
    (2, 1, 5, 878887116),
    (1, 1, 1, 881250949),
    (7, 267, 2, 891717742),
    (2, 1412, 4, 880606923),
)
FLAGS = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
)


def write_100k(root: Path, ratings=RATINGS, films=FILMS, users=USERS) -> Path:
    """GroupLens's 100K; gives the folder that holds ml-100k."""
    folder = root / "ml-100k"
    folder.mkdir(parents=True)
    text = "".join(f"{u}\t{i}\t{r}\t{t}\n" for u, i, r, t in ratings)
    (folder / "u.data").write_text(text)
    text = "".join(f"{u}|{a}|{g}|{o}|{z}\n" for u, a, g, o, z in users)
    (folder / "u.user").write_text(text)
    lines = []
    for item, title, year, genres in films:
        named = f"{title} ({year})" if year else title
        named += " (V)" if item == 1412 else ""
        released = f"01-Jan-{year}" if year else ""
        kinds = genres or ("unknown",)
        flags = ["1" if genre in kinds else "0" for genre in FLAGS]
        lines.append("|".join([str(item), named, released, "", "", *flags]) + "\n")
    (folder / "u.item").write_text("".join(lines), encoding="latin-1")
    (folder / "README").write_text("an extra file")
    return root


def write_1m(root: Path, ratings=RATINGS) -> Path:
    """GroupLens's 1M, occupations being codes; gives the folder that holds ml-1m."""
    folder = root / "ml-1m"
    folder.mkdir(parents=True)
    text = "".join(f"{u}::{i}::{r}::{t}\n" for u, i, r, t in ratings)
    (folder / "ratings.dat").write_text(text)
    text = "".join(
        f"{u}::{g}::{a}::{c}::{z}\n" for c, (u, a, g, _, z) in enumerate(USERS)
    )
    (folder / "users.dat").write_text(text)
    text = "".join(
        f"{i}::{title} ({year})::{'|'.join(genres)}\n"
        for i, title, year, genres in FILMS
    )
    (folder / "movies.dat").write_text(text, encoding="latin-1")
    return root


def write_csv(root: Path, name: str) -> Path:
    """The newer sets, with half stars and without demographics."""
    folder = root / name
    folder.mkdir(parents=True)
    rows = "".join(f"{u},{i},{r - 0.5},{t}\n" for u, i, r, t in RATINGS)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + rows)
    lines = ["movieId,title,genres\n"]
    for item, title, year, genres in FILMS:
        named = f"{title} ({year})" if year else title
        quoted = f'"{named}"' if "," in named else named
        lines.append(f"{item},{quoted},{'|'.join(genres) or '(no genres listed)'}\n")
    (folder / "movies.csv").write_text("".join(lines), encoding="utf-8")
    return root


def wheel_files(ratings=RATINGS) -> dict[str, str]:
    """The three files of the wheel, name to text."""
    inter = ["user_id:token\titem_id:token\trating:float\ttimestamp:float\n"]
    inter += [f"{u}\t{i}\t{r}\t{t}\n" for u, i, r, t in ratings]
    user = [
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    ]
    user += [f"{u}\t{a}\t{g}\t{o}\t{z}\n" for u, a, g, o, z in USERS]
    item = [
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    ]
    for key, title, year, genres in FILMS:
        named = {267: "unkonwn", 1412: f"{title} ({year})"}.get(key, title)
        when = {267: "unkonwn", 1412: "V"}.get(key, str(year))
        item.append(f"{key}\t{named}\t{when}\t{' '.join(genres or ('unknown',))}\n")
    texts = {"inter": inter, "user": user, "item": item}
    return {f"ml-100k.{kind}": "".join(lines) for kind, lines in texts.items()}


def write_wheel(folder: Path, files: dict[str, str] | None = None) -> Path:
    """A wheel pip accepts as recbole 1.2.1, with the miniature as its ml-100k."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recbole-1.2.1-py3-none-any.whl"
    about = "recbole-1.2.1.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in (wheel_files() if files is None else files).items():
            wheel.writestr(f"recbole/dataset_example/ml-100k/{name}", text)
        wheel.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n",
        )
        wheel.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{about}/RECORD", "")
    return path


def zipped(root: Path, name: str, target: Path) -> Path:
    """The data set's folder under root as GroupLens's zip, target/name.zip."""
    target.mkdir(parents=True, exist_ok=True)
    path = target / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((root / name).iterdir()):
            archive.write(file, f"{name}/{file.name}")
    return path


def assert_same_table(one: Table, other: Table) -> None:
    """The same ids and the same columns, in the same order, of the same types."""
    np.testing.assert_array_equal(one.id, other.id)
    assert one.id.dtype == other.id.dtype
    assert list(one.columns) == list(other.columns)
    for name, left in one.columns.items():
        right = other.columns[name]
        assert (left.kind, left.names) == (right.kind, right.names)
        assert left.values.dtype == right.values.dtype
        np.testing.assert_array_equal(left.values, right.values)
