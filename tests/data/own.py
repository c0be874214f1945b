"""Made files of one's own data, small enough to know every number."""

import gzip
from pathlib import Path

HEADER = "user,item,timestamp,rating,part"
ROWS = (
    ("ann", "0005", 10, 4.5, "train"),
    ("ann", "x,1", 20, 2, "train"),
    ("bob", "0005", 5, 5, "train"),
    ("ann", "76X", 30, 4, "validation"),
    ("bob", "76X", 15, 4, "test"),
    ("ann", "zed", 40, 5, "test"),
    ("cid", "0005", 7, 4, "train"),
)


def csv_text(rows=ROWS, header: str = HEADER, separator: str = ",") -> str:
    """Rows as text, fields that hold a comma quoted."""
    lines = [header.replace(",", separator)]
    for row in rows:
        fields = [str(field) for field in row]
        if separator == ",":
            fields = [f'"{f}"' if "," in f else f for f in fields]
        lines.append(separator.join(fields))
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> Path:
    """A text file, gzipped where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def taken(rows, *columns: int) -> list[tuple]:
    """Some fields of each row."""
    return [tuple(row[n] for n in columns) for row in rows]


def told(ratings) -> dict:
    """What each pair has, by the ids of the source."""
    part = ratings.part if ratings.part is not None else [None] * len(ratings.user)
    return {
        (str(ratings.users.names[u]), str(ratings.items.names[i])): (t, r, p)
        for u, i, t, r, p in zip(
            ratings.user,
            ratings.item,
            ratings.timestamp.tolist(),
            ratings.rating.tolist(),
            [None if p is None else int(p) for p in part],
            strict=True,
        )
    }
