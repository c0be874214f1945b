"""The page to explore: every file of records under an output folder, in one file."""

import csv
import functools
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import research
from experiments.collect import notes_on
from experiments.grid import Grid
from experiments.lookup import experiments, find_by_file
from experiments.output.lists import gathered_lists
from experiments.output.whole import of_common_seeds
from experiments.study import Study
from research.data.names import DATASETS
from research.report.html.page import (
    LIBRARY,
    Part,
    charting_library,
    packed,
    packed_parts,
    write_page,
)
from research.report.html.section import section
from research.report.pages import QUICK, QUICK_MARK
from research.report.predictions import STATEMENT, statements
from research.report.records import load_records, read_header
from research.types import InputError

PAGE = "report.html"
# Raised by a file that isn't as it was written, here or in the library.
DAMAGED = (InputError, ValueError, LookupError, TypeError, AttributeError)

Rows = dict[str, list[Any]]  # a table: its columns, and its rows of texts


class Source(NamedTuple):
    """A file of records, what the page says of it, its tables and its users' lists.

    ``statements`` are those of its prediction, with what was measured and the verdict.
    ``key`` is a hash of all that its section is made of.
    """

    records: Path
    entry: Grid | Study
    about: dict[str, Any]
    tables: dict[str, Rows]
    statements: list[list[str]]
    lists: dict[str, list[dict[str, str]]]
    key: str


def explore(out: Path, names: Sequence[str] = ()) -> tuple[Path, list[str]]:
    """Writes the page of all records under a folder.

    Returns:
      its path; a line for each file that could not be shown.

    Raises:
      InputError: nothing can be shown.
    """
    page = out / PAGE
    if page.is_dir():
        raise InputError(f"{page} can't be written to: it is a folder")
    before = packed_parts(page)
    key = _hash(importlib.metadata.version("vl-convert-python"))
    parts = [Part(LIBRARY, key, before.get(key) or charting_library())]
    abouts: list[dict[str, Any]] = []
    holes: list[str] = []
    for records in sorted((out / "records").glob("*/*.npz"), key=_order):
        try:
            source = _source(records, out)
            if names and source.entry.name not in names:
                continue
            text = before.get(source.key) or packed(_section(source))
        except DAMAGED as error:
            kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            reason = kind + " ".join(str(error).split())
            named = any(str(out / n) in reason for n in ("records", "runs", "tables"))
            holes.append(reason if named else f"{records}: {reason}")
            continue
        blob = f"section-{len(abouts)}"
        parts.append(Part(blob, source.key, text))
        abouts.append({**source.about, "blob": blob})
    if not abouts:
        of = f"of {' or '.join(names)} " if names else ""
        reason = holes[0] if holes else f"no records {of}under {out / 'records'}"
        raise InputError(f"nothing to show: {reason}")
    return write_page(page, abouts, parts, holes), holes


def write_explorable(out: Path, names: Sequence[str] = ()) -> bool:
    """Writes the page and prints where it is; returns whether it shows all records."""
    page, holes = explore(out, names)
    for hole in holes:
        print(f"not shown: {hole}", file=sys.stderr)
    print(f"wrote {page}", flush=True)
    return not holes


def _order(records: Path) -> tuple[int, str, int, str]:
    """Orders by data set, known ones first, then as the registries are ordered."""
    stem, known, data = records.stem, list(experiments()), records.parent.name
    named = list(DATASETS)
    places = [n for n, name in enumerate(known) if f"{stem}-".startswith(f"{name}-")]
    first = named.index(data) if data in named else len(named)
    return first, data, max(places, default=len(known)), stem


def _source(records: Path, out: Path) -> Source:
    header, entry = read_header(records), find_by_file(records)
    place, question = records.relative_to(out), entry.question
    marked = f", {QUICK_MARK}" if header.get("quick") else ""
    if isinstance(entry, Study):
        notes = [QUICK] if header.get("quick") else []
    else:
        notes = [*notes_on(header), *filter(None, [entry.note])]
    about: dict[str, Any] = {
        "name": "/".join(place.with_suffix("").parts[1:]),
        "title": f"{records.stem} on {records.parent.name}{marked}",
        "question": question,
        "prediction": entry.prediction if _predicts(entry, header) else "",
        "notes": notes,
        "file": str(place),
        "sha256": hashlib.sha256(records.read_bytes()).hexdigest(),
        "digest": header.get("data_digest", ""),
        "version": header["results_version"],
    }
    tables, lists = _tables(records, out), gathered_lists(out, records)
    about["figures"] = _figures(records, out)
    said = _statements(records, out)
    reference = getattr(entry, "reference", "")
    made_of = json.dumps([about, tables, said, lists, reference, _code()])
    return Source(records, entry, about, tables, said, lists, _hash(made_of))


def _predicts(entry: Grid | Study, header: dict[str, Any]) -> bool:
    """Whether an entry's prediction was made for the data of some records."""
    if isinstance(entry, Study):
        return entry.predicts(header["dataset"])
    return entry.predicts(header["dataset"], header["split"])


def _section(source: Source) -> str:
    """The JSON of a section."""
    tables, entry, stem = dict(source.tables), source.entry, source.records.stem
    content: dict[str, Any] = {}
    if isinstance(entry, Grid):
        every = load_records(source.records)
        results = of_common_seeds(every)
        place = {id(run): row for row, run in enumerate(every)}
        rows = [place[id(run)] for run in results]  # of the file, which lists go by
        lists = {str(n): source.lists.get(str(row), []) for n, row in enumerate(rows)}
        content = section(results, entry.reference, entry.swept_fields, lists)
        for cell in content["cells"]:
            cell["rows"] = [rows[n] for n in cell["rows"]]
        del tables[stem]  # the page shows its numbers, from the records
        content["contrasts"] = tables.pop(f"{stem}-contrasts", None)
    said = {"columns": STATEMENT, "rows": source.statements}
    content["statements"] = said if source.statements else None
    content["tables"] = [{"name": name, **table} for name, table in tables.items()]
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


def _tables(records: Path, out: Path) -> dict[str, Rows]:
    """The tables that were derived from a file of records, by their names.

    A table's name begins with that of its records; where several do, as in history
    and history-ties, the longest is meant.
    """
    tables: dict[str, Rows] = {records.stem: {}}
    for path in _of(records, out, "tables", "csv"):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                columns, *rows = [*csv.reader(file)] or [[]]
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f"{path}: not a table ({error})") from None
        tables[path.stem] = {"columns": columns, "rows": rows}
    return tables


def _of(records: Path, out: Path, folder: str, kind: str) -> list[Path]:
    """Files that were derived from a file of records, as ``_tables`` finds them."""
    stems = [path.stem for path in records.parent.glob("*.npz")]
    found = []
    for path in sorted((out / folder / records.parent.name).glob(f"*.{kind}")):
        owners = [s for s in stems if path.stem == s or path.stem.startswith(f"{s}-")]
        if max(owners, key=len, default="") == records.stem:
            found.append(path)
    return found


def _figures(records: Path, out: Path) -> list[str]:
    """The figures of a file of records, as links from the page."""
    paths = _of(records, out, "figures", "svg")
    return [path.relative_to(out).as_posix() for path in paths]


def _statements(records: Path, out: Path) -> list[list[str]]:
    """The outcomes of a prediction's statements, from the page beside the tables."""
    page = out / "tables" / records.parent.name / f"{records.stem}.md"
    rows = statements(page.read_text("utf-8")) if page.is_file() else []
    return [[text.replace("`", "") for text in row] for row in rows]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@functools.lru_cache(maxsize=1)
def _code() -> str:
    """A hash of the code that makes sections."""
    folders = Path(research.__path__[0]), Path(__file__).parents[1]
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return _hash("".join(path.read_text(encoding="utf-8") for path in files))
