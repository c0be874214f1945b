"""Does this code reproduce published numbers on published data and protocols?

The cells (cells.csv) are printed by the result pages of RecBole [zhao2021] for
MovieLens 1M and 100K, and by the papers of two losses, SL@K [yang2025slatk] and PSL
[yang2024psl], on the splits of their benchmark. Each is compared with a run here
(runs.toml) under the protocol of its page.

    python -m experiments run outside --data-dir DIR             about 15 hours
    python -m experiments run outside --quick --data-dir DIR     about 1 minute

DIR has the folders ml-1m-ge3, ml-100k-irb, electronic, electronic-popularity, movie
and gowalla (docs/published-numbers.md); what needs a folder that isn't there, or more
memory than the machine has, is left out, with a line.
A run that was measured is not measured again, unless its code or protocol has changed.

Expect most cells to agree, and beside each table EASE, or on the shifted split item
cosine, to be near or above its best row.
"""

import contextlib
import dataclasses
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.arms import arm
from experiments.loaded import digest_of, prepared_run
from experiments.output.code import code_of
from experiments.output.folders import records_path, run_id
from experiments.recipe import FIRST
from experiments.runs import baseline
from experiments.serve import rank, serve
from experiments.study import StudyOptions, save_study
from research.config import Config
from research.contrast import slug
from research.data.names import DATASETS
from research.entries import read
from research.evaluate.metrics import METRICS
from research.evaluate.record import evaluate
from research.files import read_json, write_csv, write_json
from research.prepare import Prepared, is_towers
from research.registry import entry_name
from research.report.records import load_stored, study_header
from research.serving import Serving
from research.splits import SPLITS
from research.train.loop import NotFinite, train_together
from research.types import Fold, InputError, TooLarge

NAME = PLACE = "outside"
HERE = Path(__file__).parent
QUICK = ("ease-1000", "popularity")

_TEN = tuple(f"{m}@10" for m in ("recall", "ndcg", "mrr", "hit", "precision"))
_TWENTY = ("recall@20", *(f"ndcg@{k}" for k in (5, 10, 20, 50, 75, 100)))
NUMBERS = tuple(dict.fromkeys(_TEN + _TWENTY))


class Protocol(NamedTuple):
    """How a table splits its data, judges lists and chooses an epoch.

    Attributes:
      fields: of the config of the test phase.
      numbers: that are measured.
      by: the number by which the epoch is chosen.
      every: epochs between two looks at it.
      patience: looks without a gain after which training ends; 0 for never.
      on_test: whether the epoch is chosen on the test part, for lack of another.
      everyone: whether users without a test item count, as 0.
      validation: the file of the train pairs that validate, where there is one.
      least: users with fewer train pairs validate nothing: all of theirs are fitted.
    """

    fields: Mapping[str, Any]
    numbers: tuple[str, ...]
    by: str
    every: int
    patience: int = 0
    on_test: bool = False
    everyone: bool = False
    validation: str = ""
    least: int = 0


# RecBole: its own random split; 10 epochs without a gain end the training.
_RANKED = {"split": "random,sizes=recbole", "fit_on": "train-only"}
_RECBOLE = Protocol({**_RANKED, "left_out": "train+validation"}, _TEN, "mrr@10", 1, 10)
# IR-Benchmark: the validation part that its code draws stays in the test lists, where
# it can only miss. Its training always takes 200 epochs; here it ends after 50 without
# a gain.
_GIVEN = {"split": "given", "fit_on": "train-only"}
_DRAWN = Protocol(_GIVEN, _TWENTY, "ndcg@20", 5, 10)
_VALIDATED = _DRAWN._replace(validation="validation-seed2024.csv")
PROTOCOLS = {
    "recbole": _RECBOLE,
    "recbole, validation ranked": _RECBOLE._replace(fields=_RANKED),
    "recbole, no early end": _RECBOLE._replace(patience=0),
    "validated": _VALIDATED,
    "validated, no early end": _VALIDATED._replace(patience=0),
    # A tenth of a user's train pairs, rounded down, where that code takes at least one.
    "validated, rounded down": _VALIDATED._replace(least=10),
    # The same with another validation part for each seed.
    "validated anew": _DRAWN._replace(
        fields={**_GIVEN, "split": "given,validation=0.1"}
    ),
    # Its shifted sets: no validation part, so that the epoch is chosen on test.
    "whole": _DRAWN._replace(patience=0, on_test=True, everyone=True),
    # Cornac: every rating trains; those of 4 or more judge, and are left out. No epoch
    # is chosen: the only look is at the last.
    "cornac": Protocol(
        {**_GIVEN, "threshold": 0.5, "judged_from": 4.0},
        ("recall@10", "ndcg@10", "precision@10"),
        *("ndcg@10", 200),
        on_test=True,
    ),
}

# Views of a trained run: at the epoch that its protocol chooses, and others.
CHOSEN, LAST, BEST, LEFT_OUT, WITH_PRIOR = (
    "",
    " (last look)",
    " (best look on test)",
    " (validation left out too)",
    " (served with a popularity prior of 0.5)",
)
VIEWS = (CHOSEN, LAST, BEST, LEFT_OUT, WITH_PRIOR)
PRIOR = 0.5
Numbers = Float[ndarray, "2 n"]  # mean and standard error over users, by NUMBERS


class Run(NamedTuple):
    """A model on published data under a published protocol.

    Attributes:
      data: a folder or file below --data-dir, or a data set by its name.
      protocol: a name in PROTOCOLS.
      arm: a named arm (experiments/arms.py), which may be a baseline.
      changes: of the config over the arm's.
      seeds: the most that it is repeated with.
    """

    data: str
    protocol: str
    arm: str
    changes: Mapping[str, Any] = MappingProxyType({})
    seeds: int = 3


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text("utf-8"))


def _read_runs() -> dict[str, Run]:
    file, runs = _toml("runs.toml"), {}
    for data, part in file["data"].items():
        for name, entry in part["runs"].items():
            stated = {"protocol": part["protocol"], "seeds": 3, **entry}
            own = {n: stated.pop(n) for n in Run._fields if n in stated}
            changes: dict[str, Any] = {}
            for each in (*map(file["settings"].get, stated.pop("use", ())), stated):
                changes |= each
            typed = {
                n: tuple(v) if isinstance(v, list) else v for n, v in changes.items()
            }
            runs[name] = Run(data, changes=typed, **own)
    return runs


RUNS = _read_runs()
RUN_OF = {name + view: name for name in RUNS for view in VIEWS}  # by the name of a row


def names() -> list[str]:
    """The names of all runs."""
    return [*RUNS]


def expected() -> dict[str, str]:
    """What was expected of the runs that were added later (expected.toml), by name."""
    return {n: " ".join(lines.split()) for n, lines in _toml("expected.toml").items()}


Rows = dict[str, Float[ndarray, "2 s n"]]  # by the name of a row


def run_outside(options: StudyOptions) -> Path:
    """Measures every run whose data is there, with each of its seeds.

    With --arms the other rows of the output folder's records are kept.

    Returns:
      the records; arrays mean and error (the standard error over users)
      [row, seed, number], NaN where a row has no such number or no such seed. A run has
      a row for each of its views.

    Raises:
      InputError: no data_dir, or nothing in it that a run needs, or no run fits
        the memory.
    """
    wanted = options.arms or (QUICK if options.quick else tuple(RUNS))
    rows, digests = _stored_rows(options) if options.arms else ({}, {})
    for name, dataset in _data_of(wanted, options).items():
        run = RUNS[name]
        try:
            of_seeds = [
                measured_once(name, run, seed, dataset, options)
                for seed in range(min(options.seeds, run.seeds))
            ]
        except TooLarge as error:
            options.progress(f"{name} is left out: {error}")
            continue
        rows = {row: values for row, values in rows.items() if RUN_OF[row] != name}
        for view in of_seeds[0]:
            rows[name + view] = np.stack([views[view] for views in of_seeds], axis=1)
        digests[data_label(run)] = digest_of(phase(run, 0, dataset), None)
    if not rows:
        raise InputError(f"study {NAME}: no run that was asked for fits the memory")
    return _saved({row: rows[row] for row in RUN_OF if row in rows}, digests, options)


def _data_of(wanted: Sequence[str], options: StudyOptions) -> dict[str, str]:
    """The data of each run that can be measured; a line says what cannot."""
    found: dict[str, str] = {}
    for name in wanted:
        if dataset := dataset_of(RUNS[name], options.data_dir, options.out):
            found[name] = dataset
    published = [name for name in wanted if RUNS[name].data not in DATASETS]
    if published and not any(name in found for name in published):
        raise InputError(
            f"study {NAME} needs --data-dir: a folder that has "
            f"{RUNS[published[0]].data}"
        )
    for data in dict.fromkeys(RUNS[name].data for name in wanted if name not in found):
        options.progress(f"{data} is not in {options.data_dir}: its runs are left out")
    return found


def _stored_rows(options: StudyOptions) -> tuple[Rows, dict[str, str]]:
    """The rows of the records of the output folder, and the digests of their data."""
    path = records_path(options.out, PLACE, NAME)
    if not path.is_file():
        return {}, {}
    header, _, arrays = load_stored(path)
    both = np.stack([arrays["mean"], arrays["error"]], axis=1)
    rows = dict(zip(header["runs"], both, strict=True))
    labels = {data_label(run) for run in RUNS.values()}
    digests = {k: digest for k, digest in header["digests"].items() if k in labels}
    return {row: values for row, values in rows.items() if row in RUN_OF}, digests


def _saved(rows: Rows, digests: Mapping[str, str], options: StudyOptions) -> Path:
    seeds = max(values.shape[1] for values in rows.values())
    table = np.full((2, len(rows), seeds, len(NUMBERS)), np.nan)
    for n, values in enumerate(rows.values()):
        table[:, n, : values.shape[1]] = values
    runs = [RUNS[RUN_OF[row]] for row in rows]
    splits = {entry_name(str(PROTOCOLS[run.protocol].fields["split"])) for run in runs}
    header = study_header(
        *(NAME, PLACE, options.quick, next(iter(digests.values()))),
        " and ".join(sorted(splits)),
        digests=digests,
        runs=[*rows],
        numbers=list(NUMBERS),
        data=[run.data.partition("/")[0] for run in runs],
        # whether the published split is not known, and each seed has its own
        resplit=[run.protocol.startswith("recbole") for run in runs],
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
        write_json(path, {"numbers": list(NUMBERS), "views": lists, "made_by": made_by})
        first = views[CHOSEN][0]
        at = int(np.flatnonzero(~np.isnan(first))[0])
        seconds = time.monotonic() - start
        options.progress(
            f"{name}, seed {seed}: {NUMBERS[at]} {first[at]:.4f} ({seconds:.0f} s)"
        )
    stored = read_json(path)["views"]
    return {view: np.array(values, np.float64) for view, values in stored.items()}


def dataset_of(run: Run, data_dir: str | None, out: Path) -> str | None:
    """The run's data as a config names it, or None where data_dir doesn't have it.

    Where the protocol's validation part is a file of its own, the parts are joined in
    a file under out.
    """
    if run.data in DATASETS:
        return run.data
    path = Path(data_dir or "", run.data)
    if data_dir is None or not path.exists():
        return None
    protocol = PROTOCOLS[run.protocol]
    if not protocol.validation:
        return str(path)
    place = f"{path.name}-from-{protocol.least}" if protocol.least else path.name
    joined = out / "data" / place / "interactions.csv"
    changed = max((file.stat().st_mtime for file in path.iterdir()), default=0.0)
    if not joined.is_file() or joined.stat().st_mtime < changed:
        rows = with_validation(path, protocol.validation, protocol.least)
        write_csv(joined, rows)
    return str(joined)


def data_label(run: Run) -> str:
    """The run's data, and the file that says which of it validates, if there is one."""
    protocol = PROTOCOLS[run.protocol]
    if not protocol.validation:
        return run.data
    whom = f" of users with {protocol.least} train pairs" if protocol.least else ""
    return f"{run.data} with {protocol.validation}{whom}"


def with_validation(folder: Path, name: str, least: int) -> list[dict[str, str]]:
    """The rows of a folder's interactions, those of its validation file so marked.

    Raises:
      InputError: a pair of that file is no train pair, a column is missing, or there
        is no such file, or two.
    """
    file, columns = _only(folder, name), ["user", "item", "part"]
    path = _only(folder, "interactions.csv")
    rows, held = _columns(path, columns), _columns(file, columns[:2])
    chosen = pd.MultiIndex.from_frame(rows[["user", "item"]]).isin(
        pd.MultiIndex.from_frame(held)
    )
    chosen &= (rows.part == "train").to_numpy()
    if chosen.sum() != len(held):
        raise InputError(f"{file}: a pair of it is no train pair of {path}")
    pairs = (rows.part == "train").groupby(rows.user).transform("sum")
    rows.loc[chosen & (pairs >= least), "part"] = "validation"
    return rows.to_dict("records")


def _only(folder: Path, name: str) -> Path:
    found = sorted(folder.glob(f"{name}*"))  # it may be packed
    if not found:
        raise InputError(f"{folder / name}: no such file")
    if len(found) > 1:
        raise InputError(
            f"{folder}: {' and '.join(f.name for f in found)}, expected one"
        )
    return found[0]


def _columns(path: Path, wanted: list[str]) -> pd.DataFrame:
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := [name for name in wanted if name not in rows]:
        raise InputError(
            f"{path}: no column {' and '.join(absent)}, but {', '.join(rows)}"
        )
    return rows[wanted]


def phase(run: Run, seed: int, dataset: str) -> Config:
    """The config of the run's test phase."""
    fields = dict(PROTOCOLS[run.protocol].fields)
    split = read(str(fields["split"]), SPLITS)
    if split.name == "random" or split.values.get("validation"):
        fields["split"] = split.but("seed", seed).text()
    config = Config(dataset=dataset, seed=seed, **{**FIRST, **fields})
    return dataclasses.replace(arm(run.arm, config), **run.changes)


def numbers_of(run: Run, fold: Fold, lists: ndarray) -> Numbers:
    """The numbers that the run's protocol has, NaN for the others."""
    protocol, found = PROTOCOLS[run.protocol], np.full((2, len(NUMBERS)), np.nan)
    cutoffs = sorted({int(number.partition("@")[2]) for number in protocol.numbers})
    record = evaluate(fold, lists, ks=cutoffs)
    absent = fold.fitted.n_users - len(fold.evaluated) if protocol.everyone else 0
    for number in protocol.numbers:
        metric, _, k = number.partition("@")
        if metric == "precision":  # the hits' share of the slots
            users = METRICS["recall"].of(record, int(k)) * record.held / int(k)
        else:
            users = METRICS[metric].of(record, int(k))
        users = np.concatenate([users, np.zeros(absent)])
        error = users.std(ddof=1) / np.sqrt(len(users))
        found[:, NUMBERS.index(number)] = users.mean(), error
    return found


def measured(
    run: Run,
    seed: int,
    dataset: str,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Numbers]:
    """The numbers of each view of the run; a baseline has CHOSEN alone."""
    test = prepared_run(phase(run, seed, dataset))
    if not is_towers(test.config):
        return {CHOSEN: numbers_of(run, test.fold, rank(test, baseline(test)))}
    looks = _Looks(run, test, progress)
    with contextlib.suppress(_Enough):
        (done,) = train_together([looks.watched], validate=looks.look)
        if isinstance(done, NotFinite):
            raise done
    return looks.views()


class _Enough(Exception):
    """Training may end: no look brought a gain for as long as the protocol waits."""


class _Looks:
    """The looks at a model while it trains, and the numbers at each.

    Attributes:
      watched: the run prepared on the test part, which is trained.
    """

    def __init__(
        self, run: Run, test: Prepared, progress: Callable[[str], None]
    ) -> None:
        self._run, self._test, self._progress = run, test, progress
        self._protocol = PROTOCOLS[run.protocol]
        self._by = NUMBERS.index(self._protocol.by)
        # Refused elsewhere, as it flatters: published rows do it on the shifted sets.
        config = dataclasses.replace(test.config, evaluate_every=self._protocol.every)
        self.watched = self._choice = dataclasses.replace(test, config=config)
        if not self._protocol.on_test:
            self._choice = prepared_run(
                dataclasses.replace(test.config, fit_on="train", left_out="fitted")
            )
        self._chooses = np.isin(test.fold.evaluated, self._choice.fold.evaluated)
        if self._chooses.sum() != len(self._choice.fold.evaluated):
            raise AssertionError("a published protocol judges all users that choose")
        self._seen: list[float] = []  # the number that chooses, at each look
        self._numbers: list[Numbers] = []  # those of the test part
        self._vectors: tuple[ndarray, ndarray] = np.empty(0), np.empty(0)  # at the best

    def look(self, users: ndarray, items: ndarray) -> dict[str, float]:
        """The number that chooses; measures the test part beside it.

        Raises:
          _Enough: to end the training.
        """
        mine = self._served(self._choice, users[self._chooses], items)
        by = float(mine[0, self._by])
        if not self._seen or by > max(self._seen):
            self._vectors = users, items
        self._seen.append(by)
        self._numbers.append(self._served(self._test, users, items))
        name, patience = self._protocol.by, self._protocol.patience
        shown = self._numbers[-1][0, self._by]
        epoch = len(self._seen) * self._protocol.every
        self._progress(f"epoch {epoch}: {name} {by:.4f}, test {shown:.4f}")
        if patience and len(self._seen) - int(np.argmax(self._seen)) > patience:
            raise _Enough
        return {name: by}

    def views(self) -> dict[str, Numbers]:
        """The numbers at the chosen epoch, the last look and the best one on test."""
        on_test = [numbers[0, self._by] for numbers in self._numbers]
        views = {
            CHOSEN: self._numbers[int(np.argmax(self._seen))],
            LAST: self._numbers[-1],
        }
        if self._protocol.on_test:
            return views
        views[BEST] = self._numbers[int(np.argmax(on_test))]
        if self._test.config.left_out == "fitted":
            left_out = dataclasses.replace(
                self._test.config, left_out="train+validation"
            )
            views[LEFT_OUT] = self._served(prepared_run(left_out), *self._vectors)
            views[WITH_PRIOR] = self._served(self._test, *self._vectors, PRIOR)
        return views

    def _served(
        self, run: Prepared, users: ndarray, items: ndarray, prior: float = 0.0
    ) -> Numbers:
        """The numbers of a run's fold, its lists served from vectors."""
        scorer = serve(run, users, items, serving=Serving(prior))
        return numbers_of(self._run, run.fold, rank(run, scorer))
