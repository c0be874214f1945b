"""The command check: whether the committed files still follow from their records."""

import html
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.commands.grids import (
    CLAIMS,
    RESULTS,
    claims_page,
    overview_page,
    reported,
)
from experiments.lookup import find_by_file
from experiments.output.folders import FAILED, FINISHED
from research.types import InputError

COMMENT = re.compile(r"<!-- (.*?) -->", re.DOTALL)


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
        from research.report.pictures import points_alone

        same: list[bool] = []
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder)
            for path in records:
                with points_alone():
                    written = reported(find_by_file(path), path, scratch)
                same += self._compared(written, scratch)
            if (self.results / f"{CLAIMS}.csv").is_file():
                same += self._compared(claims_page(scratch), scratch)
            if (self.results / "README.md").is_file():
                overview = overview_page(self.results / "records", scratch)
                same += self._compared([overview], scratch)
        print(f"{sum(same)} of {len(same)} files follow from the records")
        return FINISHED if all(same) else FAILED

    def _compared(self, written: list[Path], scratch: Path) -> Iterator[bool]:
        """Whether each text is the committed one, which it also prints."""
        for new in written:
            text, words = new.read_text(), new.suffix == ".words"
            name = new.relative_to(scratch)
            name = name.with_suffix(".svg") if words else name
            old = self.results / name
            found = old.read_text() if old.is_file() else None
            if words and found is not None:
                same = not missing_words(found, text.splitlines())
            else:
                same = found == text
            print(f"{'same' if same else 'DIFFERENT'}  {name}")
            yield same


def missing_words(svg: str, words: Iterable[str]) -> list[str]:
    """The words of a figure that a picture of it does not show.

    Letters are drawn as paths; matplotlib writes each line of text in a comment.

    >>> missing_words("<!-- recall of --> <g/> <!-- A &amp; B -->", ["recall of A & B"])
    []
    """
    shown = " ".join(html.unescape(line) for line in COMMENT.findall(svg))
    return [line for line in words if line.replace("--", "- -") not in shown]
