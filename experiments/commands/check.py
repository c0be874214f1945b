"""The command check: whether the committed files still follow from their records."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.commands.grids import CLAIMS, RESULTS, reported
from experiments.lookup import find_by_file
from experiments.output.folders import FAILED, FINISHED
from research.types import InputError


@dataclass(frozen=True)
class Check:
    """Derive tables and figures from the committed records, and compare them."""

    results: Path = RESULTS
    """Folder of committed results."""

    def __call__(self) -> int:
        """Compares file by file; exit status 1 on any difference."""
        records = sorted((self.results / "records").glob("*/*.npz"))
        if not records:
            raise InputError(f"no records under {self.results / 'records'}")
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
                same += self._compared(written, scratch)
            if (self.results / "questions.csv").is_file():
                with points_alone():
                    written = write_questions(self.results, scratch)
                same += self._compared(written, scratch)
            if (self.results / f"{CLAIMS}.csv").is_file():
                written = write_claims(scratch / "tables", scratch)
                same += self._compared(written, scratch)
            if (self.results / "README.md").is_file():
                overview = write_overview(self.results / "records", scratch)
                same += self._compared([overview], scratch)
        print(f"{sum(same)} of {len(same)} files follow from the records")
        return FINISHED if all(same) else FAILED

    def _compared(self, written: list[Path], scratch: Path) -> Iterator[bool]:
        """Whether each text is the committed one, which it also prints."""
        from research.report.pictures import words_in

        for new in written:
            text, words = new.read_text(), new.suffix == ".words"
            name = new.relative_to(scratch)
            name = name.with_suffix(".png") if words else name
            old = self.results / name
            if not old.is_file():
                same = False
            elif words:
                same = words_in(old) == text.splitlines()
            else:
                same = old.read_text() == text
            print(f"{'same' if same else 'DIFFERENT'}  {name}")
            yield same
