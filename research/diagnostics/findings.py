"""The probe's files: tables, a page, and figures, all from an archive."""

from pathlib import Path

from research.diagnostics.archive import Archive
from research.diagnostics.figures import deciles_figure, ranking_figure, sizes_figure
from research.diagnostics.negative_figures import bands_figure, drift_figure
from research.diagnostics.tables import (
    bias_table,
    decile_table,
    drift_table,
    page,
    seen_table,
)
from research.report.files import beside, replace
from research.report.pictures import save_figure
from research.report.table_files import csv_text

__all__ = ["write_findings"]


def write_findings(archive: Archive, table: Path, figure: Path) -> list[Path]:
    """Writes <table>.csv, -deciles.csv, -negatives.csv, .md and <figure>-*.

    Returns:
      The files, each whole; the same archive gives the same bytes.
    """
    bias, deciles = bias_table(archive), decile_table(archive)
    negatives, moved = seen_table(archive), drift_table(archive)
    texts = {
        ".csv": csv_text(bias),
        "-deciles.csv": csv_text(deciles),
        "-negatives.csv": csv_text(negatives),
        ".md": page(archive, bias, negatives),
    }
    written = [replace(beside(table, end), t.encode()) for end, t in texts.items()]
    for what, drawing in (
        ("ranking", ranking_figure(bias)),
        ("deciles", deciles_figure(deciles)),
        ("sizes", sizes_figure(bias)),
        ("bands", bands_figure(negatives)),
        ("drift", drift_figure(moved)),
    ):
        target = beside(figure, f"-{what}")
        written += save_figure(drawing.figure, drawing.points, target)
    return written
