"""What a grid's page says of its prediction: text, statements and verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from experiments.grid import Grid
from research.report.contrasts import contrast_frame, in_family
from research.report.predictions import contrast_rows, not_judged, prediction_blocks
from research.report.records import RunResult

ADDED = (
    "The last {} added after the runs, for parts of the prediction that no "
    "contrast of the grid judges."
)
COMPARED = (
    "The comparisons among them are a family of their own ({} {}), over which "
    "their p values are adjusted by Holm."
)


def judged_prediction(
    grid: Grid,
    header: Mapping[str, Any],
    results: Sequence[RunResult],
    contrasts: pd.DataFrame,
) -> list[str]:
    """The paragraphs of a grid's page on its prediction, in Markdown."""
    dataset, made_for = header["dataset"], " and ".join(grid.prediction.on)
    if not grid.predicts(dataset, header["split"]):
        made_for += f", split {grid.prediction_split}"
        return prediction_blocks(grid.prediction.text, made_for, None)
    rows, absent = contrast_rows(grid.contrasts, contrasts, dataset)
    frame = contrast_frame(results, grid.prediction.contrasts)
    compared, lacking = contrast_rows(grid.prediction.contrasts, frame, dataset)
    said = []
    if compared:
        count = "row was" if len(compared) == 1 else f"{len(compared)} rows were"
        said.append(ADDED.format(count))
    if compared and frame.p.notna().any():
        said.append(COMPARED.format(*in_family(frame)))
    lacking = [*absent, *lacking, *grid.prediction.not_judged]
    notes = [*filter(None, [" ".join(said)]), *not_judged(lacking)]
    return prediction_blocks(grid.prediction.text, made_for, [*rows, *compared], notes)
