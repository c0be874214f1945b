"""The page of a study, from its file of records or from records that are made."""

from pathlib import Path

from experiments.studies import STUDIES
from experiments.study import report_study
from research.report.records import Stored, load_stored, save_stored


def page_of(records: Stored | Path, out: Path) -> str:
    """The text of the page that is written with the tables and figures of records."""
    if isinstance(records, Stored):
        path = out / "made.npz"
        records = save_stored(path, records.header, records.arrays, **records.content)
    name = load_stored(records).header["grid"]
    written = report_study(STUDIES[name], records, out)
    assert {path.suffix for path in written} == {".csv", ".md", ".png"}
    (page,) = (path for path in written if path.name == f"{name}.md")
    return page.read_text()
