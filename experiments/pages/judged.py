"""What a grid's page says of its prediction: text, statements and verdicts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.grid import Grid
from experiments.output.whole import of_common_seeds
from research.report.contrasts import contrast_frame, in_family
from research.report.predictions import (
    contrast_rows,
    not_judged,
    prediction_blocks,
    stated_rows,
)
from research.report.records import RunResult, load_records

ADDED = (
    "The last {} added after the runs, for parts of the prediction that no "
    "contrast of the grid judges."
)
COMPARED = (
    "The comparisons among them are a family of their own ({} {}), over which "
    "their p values are adjusted by Holm."
)
COMBINED = (
    "Statements on sums, differences and ratios of means go by the 95 % interval, "
    "which is not adjusted."
)


def judged_prediction(
    grid: Grid,
    header: Mapping[str, Any],
    results: Sequence[RunResult],
    contrasts: pd.DataFrame,
    records: Path,
) -> list[str]:
    """The paragraphs of a grid's page on its prediction, in Markdown."""
    dataset, made_for = header["dataset"], " and ".join(grid.prediction.on)
    if not grid.predicts(dataset, header["split"]):
        made_for += f", split {grid.prediction_split}"
        return prediction_blocks(grid.prediction.text, made_for, None)
    rows, absent = contrast_rows(grid.contrasts, contrasts, dataset)
    frame = contrast_frame(results, grid.prediction.contrasts)
    compared, lacking = contrast_rows(grid.prediction.contrasts, frame, dataset)
    others = _records(grid, results, records)
    (early, unmeasured), (late, later) = (
        stated_rows(
            [one for one in grid.prediction.stated if one.added == added], others
        )
        for added in (False, True)
    )
    further, said = [*compared, *late], []
    if further:
        count = "row was" if len(further) == 1 else f"{len(further)} rows were"
        said.append(ADDED.format(count))
    if compared and frame.p.notna().any():
        said.append(COMPARED.format(*in_family(frame)))
    if early or late:
        said.append(COMBINED)
    lacking = [*absent, *lacking, *unmeasured, *later, *grid.prediction.not_judged]
    notes = [*filter(None, [" ".join(said)]), *not_judged(lacking)]
    return prediction_blocks(
        grid.prediction.text, made_for, [*rows, *early, *further], notes
    )


def _records(
    grid: Grid, results: Sequence[RunResult], records: Path
) -> dict[str, Sequence[RunResult]]:
    """The results of all records that a grid's statements name; none of absent ones."""
    found: dict[str, Sequence[RunResult]] = {"": results}
    for stated in grid.prediction.stated:
        for part in stated.parts:
            for term in (*part.terms, *part.over):
                path = records.parent / f"{term.records}.npz"
                if "/" in term.records:
                    path = records.parent.parent / f"{term.records}.npz"
                if term.records not in found and path.is_file():
                    found[term.records] = of_common_seeds(load_records(path), path.stem)
    return found
