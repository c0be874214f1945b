"""Protocols of published tables, and one run under one of them: its numbers."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.arms import arm
from experiments.inputs import prepared_run
from experiments.runs import baseline
from experiments.serve import rank, serve
from experiments.studies.outside.runs import Run
from research.config import Config
from research.evaluate.metrics import METRICS
from research.evaluate.record import evaluate
from research.files import write_csv
from research.prepare import Prepared, is_towers
from research.serving import Serving
from research.types import Fold, InputError

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


_RECBOLE = {"split": "random", "split_rule": "recbole", "fit_on": "train-only"}
_GIVEN = {"split": "given", "fit_on": "train-only"}
PROTOCOLS = {
    # RecBole: its own random split; 10 epochs without a gain end the training.
    "recbole": Protocol(
        {**_RECBOLE, "left_out": "train+validation"}, _TEN, "mrr@10", 1, 10
    ),
    "recbole, validation ranked": Protocol(_RECBOLE, _TEN, "mrr@10", 1, 10),
    "recbole, no early end": Protocol(
        {**_RECBOLE, "left_out": "train+validation"}, _TEN, "mrr@10", 1
    ),
    # IR-Benchmark: the validation part that its code draws stays in the test lists,
    # where it can only miss. Its training always takes 200 epochs; here it ends after
    # 50 without a gain.
    "validated": Protocol(
        _GIVEN, _TWENTY, "ndcg@20", 5, 10, validation="validation-seed2024.csv"
    ),
    "validated, no early end": Protocol(
        _GIVEN, _TWENTY, "ndcg@20", 5, validation="validation-seed2024.csv"
    ),
    # A tenth of a user's train pairs, rounded down, where that code takes at least one.
    "validated, rounded down": Protocol(
        _GIVEN,
        _TWENTY,
        "ndcg@20",
        5,
        10,
        validation="validation-seed2024.csv",
        least=10,
    ),
    # The same with another validation part for each seed.
    "validated anew": Protocol(
        {**_GIVEN, "validation_share": 0.1}, _TWENTY, "ndcg@20", 5, 10
    ),
    # Its shifted sets: no validation part, so that the epoch is chosen on test.
    "whole": Protocol(_GIVEN, _TWENTY, "ndcg@20", 5, on_test=True, everyone=True),
    # Cornac: every rating trains; those of 4 or more judge, and are left out. No epoch
    # is chosen: the only look is at the last.
    "cornac": Protocol(
        {**_GIVEN, "threshold": 0.5, "judged_from": 4.0},
        ("recall@10", "ndcg@10", "precision@10"),
        "ndcg@10",
        200,
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


def dataset_of(run: Run, data_dir: str | None, out: Path) -> str | None:
    """The run's data as a config names it, or None where data_dir doesn't have it.

    Where the protocol's validation part is a file of its own, the parts are joined in
    a file under out.
    """
    if not run.published:
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
    keys = pd.MultiIndex.from_frame(held[["user", "item"]])
    chosen = pd.MultiIndex.from_frame(rows[["user", "item"]]).isin(keys)
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


def _columns(path: Path, names: list[str]) -> pd.DataFrame:
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    if absent := [name for name in names if name not in rows]:
        raise InputError(
            f"{path}: no column {' and '.join(absent)}, but {', '.join(rows)}"
        )
    return rows[names]


def phase(run: Run, seed: int, dataset: str) -> Config:
    """The config of the run's test phase."""
    fields = dict(PROTOCOLS[run.protocol].fields)
    if fields["split"] == "random" or fields.get("validation_share"):
        fields["split_seed"] = seed
    config = Config(dataset=dataset, seed=seed, **fields)
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
        _trained(looks)
    return looks.views()


def _trained(looks: "_Looks") -> None:
    """Trains, with a look every so many epochs."""
    from research.train.loop import NotFinite, train_together

    (done,) = train_together([looks.watched], validate=looks.look)
    if isinstance(done, NotFinite):
        raise done


class _Enough(Exception):
    """Training may end: no look brought a gain for as long as the protocol waits."""


class _Looks:
    """The looks at a model while it trains, and the numbers at each.

    Attributes:
      choice: the run prepared on the part that chooses the epoch.
      watched: the run prepared on the test part, which is trained.
    """

    def __init__(
        self, run: Run, test: Prepared, progress: Callable[[str], None]
    ) -> None:
        self.run, self.test, self._progress = run, test, progress
        self._protocol = PROTOCOLS[run.protocol]
        config = test.config
        # Refused elsewhere, as it flatters: published rows do it on the shifted sets.
        every = self._protocol.every
        watched = dataclasses.replace(config, evaluate_every=every)
        self.watched = self.choice = dataclasses.replace(test, config=watched)
        if not self._protocol.on_test:
            config = dataclasses.replace(config, fit_on="train", left_out="fitted")
            self.choice = prepared_run(config)
        chooses = np.isin(test.fold.evaluated, self.choice.fold.evaluated)
        if chooses.sum() != len(self.choice.fold.evaluated):
            raise AssertionError("a published protocol judges all users that choose")
        self._chooses = chooses
        self._by: list[float] = []
        self._numbers: list[Numbers] = []
        self._vectors: tuple[ndarray, ndarray] | None = None

    def look(self, users: ndarray, items: ndarray) -> dict[str, float]:
        """The number that chooses; measures the test part beside it.

        Raises:
          _Enough: to end the training.
        """
        mine = users[self._chooses]
        lists = rank(self.choice, serve(self.choice, mine, items))
        place = NUMBERS.index(self._protocol.by)
        by = float(numbers_of(self.run, self.choice.fold, lists)[0, place])
        if not self._by or by > max(self._by):
            self._vectors = users, items
        self._by.append(by)
        lists = rank(self.test, serve(self.test, users, items))
        self._numbers.append(numbers_of(self.run, self.test.fold, lists))
        epoch = len(self._by) * self._protocol.every
        shown = self._numbers[-1][0, place]
        self._progress(f"epoch {epoch}: {self._protocol.by} {by:.4f}, test {shown:.4f}")
        patience = self._protocol.patience
        if patience and len(self._by) - int(np.argmax(self._by)) > patience:
            raise _Enough
        return {self._protocol.by: by}

    def views(self) -> dict[str, Numbers]:
        """The numbers at the chosen epoch, the last look and the best one on test."""
        place = NUMBERS.index(self._protocol.by)
        on_test = [numbers[0, place] for numbers in self._numbers]
        views = {
            CHOSEN: self._numbers[int(np.argmax(self._by))],
            LAST: self._numbers[-1],
        }
        if self._protocol.on_test:
            return views
        views[BEST] = self._numbers[int(np.argmax(on_test))]
        if self.test.config.left_out == "fitted":
            left_out = dataclasses.replace(
                self.test.config, left_out="train+validation"
            )
            views[LEFT_OUT] = self._served(prepared_run(left_out))
            views[WITH_PRIOR] = self._served(self.test, PRIOR)
        return views

    def _served(self, run: Prepared, prior: float = 0.0) -> Numbers:
        """The numbers of the chosen epoch's vectors under a run's fold."""
        assert self._vectors is not None
        scorer = serve(run, *self._vectors, serving=Serving(prior))
        return numbers_of(self.run, run.fold, rank(run, scorer))
