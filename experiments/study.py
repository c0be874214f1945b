"""What a study is: a question that a grid can't answer, with its own measurements."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy import ndarray

from experiments.grid import MOST_SEEDS, SHORTER, Experiment
from experiments.output.folders import records_path
from experiments.recipe import FIRST
from research.files import beside
from research.types import InputError, check_distinct

if TYPE_CHECKING:  # names and questions need neither pandas nor matplotlib
    import pandas as pd

    from research.config import Config
    from research.report.pictures import Drawing
    from research.report.records import Stored

SIMULATED = "simulated"
OVER_SEEDS = "Intervals are 95 % t intervals over seeds, given from three seeds on."


class StudyOptions(NamedTuple):
    """The options of a study; each uses those that it needs.

    Attributes:
      out: the output folder.
      dataset: what it measures on.
      data_dir: as on the command line.
      seeds: how many repetitions, with the seeds 0, 1, ...
      quick: a smoke run, just large enough to show that everything works: no result.
      progress: called with a short line now and then.
      jobs: worker processes of its training runs; None for the study's own number.
      arms: only these of its arms; none for all.
    """

    out: Path
    dataset: str = "ml-100k"
    data_dir: str | None = None
    seeds: int = 1
    quick: bool = False
    progress: Callable[[str], None] = lambda line: None
    jobs: int | None = None
    arms: tuple[str, ...] = ()

    def config(self, **changes: Any) -> "Config":
        """The first recipe on its data set, split as suits the data."""
        from experiments.loaded import study_split_fields
        from research.config import Config

        split = study_split_fields(self.dataset, self.data_dir)
        return Config(dataset=self.dataset, **{**FIRST, **changes, **split})

    def arm(self, name: str, **changes: Any) -> "Config":
        """The config of an arm on its data set, trained as long as in a grid there.

        A quick run's has two epochs.
        """
        from experiments.arms import arm
        from experiments.resolve import QUICK_EPOCHS

        changes = {**SHORTER.get(self.dataset, {}), **changes}
        if self.quick:
            changes["epochs"] = QUICK_EPOCHS
        return dataclasses.replace(arm(name, self.config()), **changes)


class Report(NamedTuple):
    """A study's tables, page and figures.

    Attributes:
      tables: by what follows the study's name in the file's (".csv").
      page: paragraphs and tables in Markdown. The first one says what was measured;
        the question is set above it, the prediction and its statements below.
      drawings: by what follows the name, without an ending ("-error").
      statements: each part of the prediction: the statement, what was measured, the
        verdict.
      not_judged: parts of it that these records cannot judge, each with the reason.
    """

    tables: "Mapping[str, str | pd.DataFrame]"
    page: Sequence[str]
    drawings: "Mapping[str, Drawing]" = MappingProxyType({})
    statements: Sequence[Sequence[str]] = ()
    not_judged: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Study(Experiment):
    """A question with measurements of its own, which it writes as its records.

    Attributes:
      run: measures, and returns its file of records.
      report: tables, page and figures from its records alone.
      seeds: how many seeds it is repeated with; None where it has no use for them.
      place: the folder of its results where that isn't the data set's.
      arms: arms that a run can be restricted to (--arms); none where it can't.
      arms_of: gives them where they are read only when asked for.
    """

    run: Callable[[StudyOptions], Path]
    report: "Callable[[Stored], Report]"
    seeds: int | None = None
    place: str | None = None
    arms: tuple[str, ...] = ()
    arms_of: Callable[[], Collection[str]] | None = None

    def predicts(self, dataset: str) -> bool:
        """Whether its prediction was made for a data set; False without one."""
        made = self.prediction
        return bool(made.text) and dataset in (made.on or (dataset,))

    def folder(self, dataset: str) -> str:
        """The folder of its results."""
        return self.place or dataset

    def check_arms(self, arms: tuple[str, ...]) -> None:
        """Refuses arms that it doesn't have, and one that is given twice.

        Raises:
          InputError: naming the arm, or that the study has no use for --arms.
        """
        if arms and not (self.arms or self.arms_of):
            raise InputError(f"study {self.name} has no use for --arms")
        known = self.arms_of() if arms and self.arms_of else self.arms
        for arm in arms:
            if arm not in known:
                raise InputError(
                    f"study {self.name} has no arm {arm}: {', '.join(known)}"
                )
        check_distinct(arms, "arms")

    def repetitions(self, seeds: int | None, quick: bool) -> int:
        """How many seeds a run takes.

        Raises:
          InputError: below 1, or the study has no use for seeds.
        """
        if seeds is not None and self.seeds is None:
            raise InputError(f"study {self.name} has no use for --seeds")
        n = seeds if seeds is not None else (1 if quick else self.seeds or 1)
        if n < 1:
            raise InputError(f"seeds is {n}: it must be at least 1")
        MOST_SEEDS.check("seeds", n)
        return n


def save_study(
    out: Path, header: Mapping[str, Any], arrays: Mapping[str, ndarray], **content: Any
) -> Path:
    """Writes a study's records under an output folder, and returns their path."""
    from experiments.output.code import code_by_arm
    from research.report.records import save_stored

    path = records_path(out, header["dataset"], header["grid"])
    header = {**header, "code": code_by_arm([(header["grid"], {})])}
    return save_stored(path, header, arrays, **content)


def save_measured(
    options: StudyOptions,
    name: str,
    arrays: Mapping[str, ndarray],
    content: Mapping[str, Any] = MappingProxyType({}),
    **about: Any,
) -> Path:
    """Writes what a study measured on its data set; returns the records' path.

    The content is JSON on the arrays; what else is given goes to the header.
    """
    from experiments.loaded import ratings_of, study_split
    from research.report.records import study_header

    if options.dataset != SIMULATED:
        data = options.dataset, options.data_dir
        about = {"split": study_split(*data), **about}
        about["digest"] = ratings_of(*data).digest
    header = study_header(name, options.dataset, options.quick, **about)
    return save_study(options.out, header, arrays, **content)


def described(design: str, terms: Mapping[str, str], note: str = "") -> str:
    """What a study measured: its design, then the terms of its page, in Markdown.

    >>> described("Two seeds.", {"Gap": "the largest difference"})
    'Two seeds.\\n\\n- **Gap**: the largest difference.'
    """
    rows = "\n".join(f"- **{term}**: {meaning}." for term, meaning in terms.items())
    return "\n\n".join(filter(None, (design, rows, note)))


def _check_header(study: Study, header: Mapping[str, Any], records: Path) -> None:
    """Refuses records of another study, and a header that lacks what pages need.

    Raises:
      InputError: naming the file.
    """
    of = header.get("grid", "no study")
    if of != study.name:  # a file that was renamed
        raise InputError(f"{records}: records of {of}, not of {study.name}")
    if missing := [name for name in ("dataset", "quick") if name not in header]:
        raise InputError(
            f"{records}: not a file of records (no {' and no '.join(missing)})"
        )


def _report_of(study: Study, stored: "Stored", records: Path) -> Report:
    """The study's report from its records.

    Raises:
      InputError: naming the file: the study refuses it, or what it needs isn't there.
    """
    from research.report.records import MALFORMED, OLDER

    try:
        return study.report(stored)
    except InputError as error:
        raise InputError(f"{records}: {error}") from error
    except MALFORMED as error:
        reason = f"not what study {study.name} reads ({error!r}); {OLDER}"
        raise InputError(f"{records}: {reason}") from error


def report_study(study: Study, records: Path, out: Path) -> list[Path]:
    """Writes a study's tables, page and figures under a folder; returns their paths.

    Raises:
      InputError: no such file, not the study's, or of another RECORDS_VERSION.
    """
    from research.report.figures import mark_quick
    from research.report.pages import QUICK, markdown_page, write_texts
    from research.report.pictures import save_figure
    from research.report.predictions import not_judged, prediction_blocks
    from research.report.records import load_stored

    stored = load_stored(records)
    _check_header(study, stored.header, records)
    tables, page, drawings, statements, lacking = _report_of(study, stored, records)
    about, *blocks = page
    head = QUICK if stored.header["quick"] else ""
    predicted = study.predicts(stored.header["dataset"])
    prediction = prediction_blocks(
        study.prediction.text,
        " and ".join(study.prediction.on),
        statements if predicted else None,
        not_judged(lacking),
    )
    text = markdown_page(study.question, about, head, *prediction, *blocks)
    place = Path(stored.header["dataset"], stored.header["grid"])
    written = write_texts(out / "tables" / place, {**tables, ".md": text})
    for what, (figure, points) in drawings.items():
        if stored.header["quick"]:
            mark_quick(figure)
        written += save_figure(figure, points, beside(out / "figures" / place, what))
    return written
