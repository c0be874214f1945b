"""The command check: committed files against records, own entries against laws."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.commands.grids import CLAIMS, RESULTS, reported
from experiments.lookup import find_by_file
from experiments.output.folders import FAILED, FINISHED
from research.laws import Verdict, own_verdicts
from research.types import InputError


@dataclass(frozen=True)
class Check:
    """Check the losses, sources and metrics of your own file.

    Without any: derive tables and figures from the committed records, and compare.
    """

    results: Path | None = None
    """Folder of committed results, in place of own entries."""

    def __call__(self) -> int:
        """Prints a line an entry or file; exit status 1 if something is wrong."""
        entries = [] if self.results else [_told(*each) for each in own_verdicts()]
        right = all(entries) if entries else _follow(self.results or RESULTS)
        return FINISHED if right else FAILED


def _told(what: str, name: str, verdict: Verdict) -> bool:
    """Prints what the checks of an entry found; whether it has no fault."""
    for fault in verdict.faults:
        print(f"FAILS  {what} {name}: {fault}")
    if not verdict.faults:
        rest = f"; not checked: {verdict.unchecked}" if verdict.unchecked else ""
        print(f"ok     {what} {name}{rest}")
    return not verdict.faults


def _follow(results: Path) -> bool:
    """Whether all files of the folder follow from its records."""
    records = sorted((results / "records").glob("*/*.npz"))
    if not records:
        raise InputError(f"no records under {results / 'records'}")
    from experiments.pages.claims import write_claims
    from experiments.pages.overview import write_overview
    from experiments.pages.questions import write_questions
    from research.report.pictures import points_alone

    same: list[bool] = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for path in records:
            with points_alone():
                written = reported(find_by_file(path), path, scratch)
            same += _compared(written, scratch, results)
        if (results / "questions.csv").is_file():
            with points_alone():
                written = write_questions(results, scratch)
            same += _compared(written, scratch, results)
        if (results / f"{CLAIMS}.csv").is_file():
            written = write_claims(scratch / "tables", scratch)
            same += _compared(written, scratch, results)
        if (results / "README.md").is_file():
            overview = write_overview(results / "records", scratch)
            same += _compared([overview], scratch, results)
    print(f"{sum(same)} of {len(same)} files follow from the records")
    return all(same)


def _compared(written: list[Path], scratch: Path, results: Path) -> Iterator[bool]:
    """Whether each text is the committed one, which it also prints."""
    from research.report.pictures import words_in

    for new in written:
        text, words = new.read_text(), new.suffix == ".words"
        name = new.relative_to(scratch)
        name = name.with_suffix(".png") if words else name
        old = results / name
        if not old.is_file():
            same = False
        elif words:
            same = words_in(old) == text.splitlines()
        else:
            same = old.read_text() == text
        print(f"{'same' if same else 'DIFFERENT'}  {name}")
        yield same
