"""Does this code reproduce published numbers on published data and protocols?

The cells (cells.csv) are printed by the result pages of RecBole [zhao2021] for
MovieLens 1M and 100K, and by the papers of two losses, SL@K [yang2025slatk] and PSL
[yang2024psl], on the splits of their benchmark. Each is compared with a run here
(runs.py) under the protocol of its page (measure.py).

    python -m experiments run outside --data-dir DIR             about 15 hours
    python -m experiments run outside --quick --data-dir DIR     about 1 minute

DIR has the folders ml-1m-ge3, ml-100k-irb, electronic, electronic-popularity, movie
and gowalla (docs/outside.md); what needs a folder that isn't there, or more memory than
the machine has, is left out, with a line.
A run that was measured is not measured again, unless its code or protocol has changed.

Expect most cells to agree, and beside each table EASE, or on the shifted split item
cosine, to be near or above its best row.
"""

import csv
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from experiments.inputs import digest_of
from experiments.output.code import code_of
from experiments.output.folders import records_path, run_id
from experiments.studies.outside.measure import (
    NUMBERS,
    PROTOCOLS,
    VIEWS,
    data_label,
    dataset_of,
    measured,
    phase,
)
from experiments.studies.outside.runs import QUICK, RUNS, Run
from experiments.study import StudyOptions, save_study
from research.contrast import slug
from research.files import read_json, write_json
from research.report.records import load_stored, study_header
from research.types import InputError, TooLarge

NAME = PLACE = "outside"
CELLS = Path(__file__).with_name("cells.csv")


class Cell(NamedTuple):
    """A published number and where it stands.

    Attributes:
      source: key in docs/references.md.
      table: of the page.
      page: which page, or section.
      dataset: the folder of its data.
      row: the row as published, with its settings.
      metric: of the table, without its cut-off.
      k: cut-off.
      value: as printed.
      run: the run here that it is compared with.
      because: runs that would explain a difference, with ";" between them, or "".
    """

    source: str
    table: str
    page: str
    dataset: str
    row: str
    metric: str
    k: int
    value: float
    run: str
    because: str

    @property
    def number(self) -> str:
        """The metric at its cut-off: a name in NUMBERS."""
        return f"{self.metric}@{self.k}"


def read_cells() -> list[Cell]:
    """The published cells, in the order of their file."""
    with CELLS.open(newline="", encoding="utf-8") as file:
        lines: list[dict[str, Any]] = [*csv.DictReader(file)]
    typed = [{"k": int(line["k"]), "value": float(line["value"])} for line in lines]
    return [
        Cell(**(line | numbers)) for line, numbers in zip(lines, typed, strict=True)
    ]


Row = tuple[str, str]  # a run and a view of it
Rows = dict[Row, ndarray]  # mean and standard error over users, [2, seed, number]


def run_outside(options: StudyOptions) -> Path:
    """Measures every run whose data is there, with each of its seeds.

    Returns:
      the records; arrays mean and error (the standard error over users)
      [row, seed, number], NaN where a row has no such number or no such seed. A run has
      a row for each of its views (measure.py).

    Raises:
      InputError: no data_dir, or nothing in it that a run needs, or no run fits
        the memory.
    """
    names = options.arms or (QUICK if options.quick else tuple(RUNS))
    rows, digests = _stored_rows(options) if options.arms else ({}, {})
    for name, dataset in _data_of(names, options).items():
        run = RUNS[name]
        try:
            of_seeds = [
                measured_once(name, run, seed, dataset, options)
                for seed in range(min(options.seeds, run.seeds))
            ]
        except TooLarge as error:
            options.progress(f"{name} is left out: {error}")
            continue
        rows = {row: values for row, values in rows.items() if row[0] != name}
        for view in of_seeds[0]:
            rows[name, view] = np.stack([views[view] for views in of_seeds], axis=1)
        digests[data_label(run)] = digest_of(phase(run, 0, dataset), None)
    if not rows:
        raise InputError(f"study {NAME}: no run that was asked for fits the memory")
    place = {name: n for n, name in enumerate(RUNS)}
    return _saved(
        dict(sorted(rows.items(), key=lambda row: place[row[0][0]])), digests, options
    )


def _data_of(names: Sequence[str], options: StudyOptions) -> dict[str, str]:
    """The data of each run that can be measured; a line says what cannot."""
    runs = {name: RUNS[name] for name in names}
    datasets = {
        name: dataset
        for name, run in runs.items()
        if (dataset := dataset_of(run, options.data_dir, options.out))
    }
    published = [name for name, run in runs.items() if run.published]
    if published and not any(name in datasets for name in published):
        raise InputError(
            f"study {NAME} needs --data-dir: a folder that has "
            f"{runs[published[0]].data}"
        )
    for data in dict.fromkeys(runs[n].data for n in runs if n not in datasets):
        options.progress(f"{data} is not in {options.data_dir}: its runs are left out")
    return datasets


def _stored_rows(options: StudyOptions) -> tuple[Rows, dict[str, str]]:
    """The rows of the records of the output folder, and the digests of their data."""
    path = records_path(options.out, PLACE, NAME)
    if not path.is_file():
        return {}, {}
    header, _, arrays = load_stored(path)
    rows: Rows = {}
    known = {name + view: (name, view) for name in RUNS for view in VIEWS}
    for n, row in enumerate(header["runs"]):
        if row not in known:  # of a run that is no more
            continue
        measured_seeds = np.flatnonzero(~np.isnan(arrays["mean"][n]).all(axis=1))
        seeds = slice(1 + int(measured_seeds[-1]))  # each keeps its place
        values = np.stack([arrays[part][n][seeds] for part in ("mean", "error")])
        rows[known[row]] = values
    labels = {data_label(run) for run in RUNS.values()}
    digests = {k: digest for k, digest in header["digests"].items() if k in labels}
    return rows, digests


def _saved(rows: Rows, digests: Mapping[str, str], options: StudyOptions) -> Path:
    """Writes the records of these rows."""
    seeds = max(values.shape[1] for values in rows.values())
    table = np.full((2, len(rows), seeds, len(NUMBERS)), np.nan)
    for n, values in enumerate(rows.values()):
        table[:, n, : values.shape[1]] = values
    runs = [RUNS[name] for name, _ in rows]
    splits = {str(PROTOCOLS[run.protocol].fields["split"]) for run in runs}
    header = study_header(
        NAME,
        PLACE,
        options.quick,
        next(iter(digests.values())),
        " and ".join(sorted(splits)),
        digests=digests,
        runs=[name + view for name, view in rows],
        numbers=list(NUMBERS),
        data=[run.data.partition("/")[0] for run in runs],
        resplit=[run.resplit for run in runs],
    )
    mean, error = table.astype("<f8")
    return save_study(options.out, header, {"mean": mean, "error": error})


def measured_once(
    name: str, run: Run, seed: int, dataset: str, options: StudyOptions
) -> dict[str, ndarray]:
    """The run's views with one seed, from its file where it was measured before.

    By this code and under this protocol, that is: else it is measured again.
    """
    config = phase(run, seed, dataset)
    identity = run_id(config, digest_of(config, None))
    path = options.out / "runs" / PLACE / f"{slug(name)}-seed-{seed}-{identity}.json"
    made_by = {
        "code": code_of(dataclasses.asdict(config)),
        "protocol": str(PROTOCOLS[run.protocol]),
    }
    start = time.monotonic()
    if not (path.is_file() and read_json(path).get("made_by") == made_by):
        views = measured(run, seed, dataset, options.progress)
        lists = {view: values.tolist() for view, values in views.items()}
        numbers = {"numbers": list(NUMBERS), "views": lists}
        write_json(path, {**numbers, "made_by": made_by})
        options.progress(
            f"{name}, seed {seed}: {_text(next(iter(views.values())))} "
            f"({time.monotonic() - start:.0f} s)"
        )
    stored = read_json(path)["views"]
    return {view: np.array(values, np.float64) for view, values in stored.items()}


def _text(values: ndarray) -> str:
    at = int(np.flatnonzero(~np.isnan(values[0]))[0])
    return f"{NUMBERS[at]} {values[0, at]:.4f}"
