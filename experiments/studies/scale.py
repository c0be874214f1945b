"""At which temperature should a model be served that was trained at another?

Validation clicks give a trained model's scores a scale (research/calibration.py). The
temperature of the training over the scale is then the one to serve with, beside log q
times the share; as the order is all that counts, the calibrated total, share / scale,
does the same. Models are trained without log q at several temperatures, fitted on the
training part alone, and each is served with every total strength, as in ``totals``.

    python -m experiments run scale               about 5 minutes on 2 cores, 5 seeds
    python -m experiments run scale --quick       about 1 minute

On Electronics (--dataset DIR/electronic --seeds 3) it takes 20 minutes.
Expect on MovieLens 100K: the calibrated total falls as the temperature rises.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy import ndarray

from experiments.studies.totals import TOTALS, by_epoch, save_swept, swept_configs
from experiments.study import OVER_SEEDS, Report, StudyOptions, described
from research.contrast import MORE
from research.report.colours import BEST, CALIBRATED, FULL, Ink, with_band
from research.report.intervals import over_seeds
from research.report.pages import interval_frame, interval_table, seeds_text
from research.report.pictures import Drawing, blank, legend_above, styled
from research.report.predictions import statement
from research.report.records import Stored

NAME = "scale"
TEMPERATURES = (0.05, 0.1, 0.2, 0.4)
KEPT = ("recall", "scale", "calibrated", "recall_calibrated")
NEAR, BELOW, FALL, RATIO = 0.3, 0.002, 0.5, 3.0


def run_scale(options: StudyOptions) -> Path:
    """Trains at each temperature with each seed; returns the records.

    Arrays, of what ``by_epoch`` has after the last epoch: recall on test [temperature,
    seed, total]; scale, calibrated and recall_calibrated [temperature, seed];
    temperatures, totals. A quick run has two temperatures.
    """
    temperatures = TEMPERATURES[:: 3 if options.quick else 1]
    runs = []
    for config in swept_configs(options, temperatures):
        last = by_epoch(config, options.data_dir, every=config.epochs)
        runs.append({name: last[name][-1] for name in KEPT})
        options.progress(
            f"temperature {config.temperature:g}, seed {config.seed}: scale "
            f"{last['scale'][-1]:.2f}, total {last['calibrated'][-1]:.2f}, highest "
            f"at {TOTALS[int(last['recall'][-1].argmax())]:.1f}"
        )
    return save_swept(options, NAME, runs, temperatures)


def measured(stored: Stored) -> dict[str, Float[ndarray, "t s"]]:
    """What is shown and stated, by temperature and seed.

    scale; serving, the temperature over it; calibrated, the total; there, recall@20
    with that; highest, the total of highest recall@20; best, recall@20 there; full,
    with a total of 1.
    """
    arrays, totals = stored.floats(), stored.axis("totals")
    return {
        "scale": arrays["scale"],
        "serving": arrays["temperatures"][:, None] / arrays["scale"],
        "calibrated": arrays["calibrated"],
        "there": arrays["recall_calibrated"],
        "highest": np.array(totals)[arrays["recall"].argmax(axis=2)],
        "best": arrays["recall"].max(axis=2),
        "full": arrays["recall"][:, :, totals.index(1.0)],
    }


def scale_frame(stored: Stored) -> pd.DataFrame:
    """One row per temperature: means of what is measured, with _low and _high."""
    temperatures = stored.arrays["temperatures"]
    return interval_frame(measured(stored), temperature=temperatures)


def verdicts(stored: Stored) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    found = measured(stored)
    temperatures = stored.axis("temperatures")
    least, most = temperatures[0], temperatures[-1]
    more, below = np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0)
    total, serving = found["calibrated"], found["serving"]
    ends = serving.mean(axis=1)
    high, low = int(ends.argmax()), int(ends.argmin())
    stated = [
        (f"the calibrated total is above 1 at {least:g}", total[0], more, np.inf),
        (f"it is below 1 at {most:g}", total[-1], -np.inf, below),
        (f"it is {FALL:g} or more lower there", total[0] - total[-1], FALL, np.inf),
        (
            f"the largest temperature to serve with (trained: {temperatures[high]:g}) "
            f"is less than {RATIO:g} times the smallest ({temperatures[low]:g})",
            *(serving[high] / serving[low], 0.0, RATIO),
        ),
    ]
    for n, temperature in enumerate(temperatures):
        off = found["highest"][n] - total[n]
        short = found["best"][n] - found["there"][n]
        text = f"{temperature:g}: the total of highest recall@20 is within {NEAR:g}"
        stated.append((text, off, -NEAR, NEAR))
        text = f"{temperature:g}: recall@20 is at most {BELOW:g} below the highest"
        stated.append((text, short, -np.inf, BELOW))
    return [
        statement(text, over_seeds(values).interval(), low, high)
        for text, values, low, high in [*stated, *_in_order(found, temperatures)]
    ]


Stated = tuple[str, Float[ndarray, " s"], float, float]


def _in_order(
    found: dict[str, Float[ndarray, "t s"]], temperatures: Sequence[float]
) -> list[Stated]:
    """That the scale rises and the calibrated total falls with the temperature."""
    pairs = [*itertools.pairwise(temperatures)]
    rises, falls = (
        np.diff(found["scale"], axis=0),
        -np.diff(found["calibrated"], axis=0),
    )
    return [
        (f"{text} at {high:g} than at {low:g}", step, MORE, np.inf)
        for text, steps in (
            ("the scale is larger", rises),
            ("the calibrated total is lower", falls),
        )
        for (low, high), step in zip(pairs, steps, strict=True)
    ]


def scale_page(frame: pd.DataFrame, stored: Stored) -> Sequence[str]:
    """What was measured, and one row per temperature."""
    seeds = stored.arrays["scale"].shape[1]
    about = described(
        f"{stored.header['dataset']}, {seeds_text(seeds)}; in-batch negatives without "
        "log q, cosine, fitted on the training part alone, judged by the test part "
        "after the last epoch.",
        {
            "scale": "factor of score / temperature in a conditional logit of "
            "validation clicks on score / temperature and log q",
            "calibrated total": "factor of log q in this fit, divided by the scale",
            "to serve with": "temperature divided by the scale",
            "highest at": "total of highest recall@20 on test, by seed",
        },
        OVER_SEEDS,
    )
    columns = [
        ("scale", "scale", ".2f"),
        ("to serve with", "serving", ".3f"),
        ("calibrated total", "calibrated", ".2f"),
        ("highest at", "highest", ".2f"),
        ("recall@20 at 1", "full", ".4f"),
        ("at the calibrated total", "there", ".4f"),
        ("highest", "best", ".4f"),
    ]
    stated = {"temperature": "g"}
    table = interval_table(frame, stated, columns, left=0)
    return about, table


TOTAL_LINES = {"highest": BEST, "calibrated": CALIBRATED}
RECALL_LINES = {"best": BEST, "there": CALIBRATED, "full": FULL}
LABELS = {"best": "best", "there": "calibrated", "full": "a total of 1"}


@styled
def two_panels(
    frame: pd.DataFrame,
    total_lines: Mapping[str, Ink],
    recall_lines: Mapping[str, Ink],
    labels: Mapping[str, str],
    title: str,
) -> Figure:
    """Draws totals, and recall with them, by the temperature of the training.

    Args:
      frame: a row per temperature; each column drawn has _low and _high.
      total_lines: column -> ink and style of its line in the first panel.
      recall_lines: the same for the second panel, which has the legend.
      labels: of the lines in the second panel.
      title: of both panels.
    """
    at = frame.temperature
    figure, panels = blank(3.4, ncols=2)
    for panel, lines in zip(panels, (total_lines, recall_lines), strict=True):
        for name, (ink, style) in lines.items():
            drawn = {"color": ink, "linestyle": style, "label": labels.get(name)}
            panel.plot(at, frame[name], **drawn)
            ends = frame[f"{name}_low"], frame[f"{name}_high"]
            panel.fill_between(at, *ends, color=ink, alpha=0.12)
        panel.set_xscale("log")
        panel.set_xticks(at, [f"{temperature:g}" for temperature in at])
        panel.minorticks_off()
        panel.set_xlabel("temperature of the training")
    panels[0].set_ylabel("total of log q")
    panels[1].set_ylabel("recall@20 on test")
    legend_above(figure, with_band(panels[1]), title, 4)
    return figure


def heading(frame: pd.DataFrame) -> str:
    """Recall with a total of 1 and with the calibrated one, lowest temperature."""
    lowest = frame.loc[frame.temperature.idxmin()]
    return (
        f"Trained at {lowest.temperature:g}, a total of 1 gives a recall@20 of "
        f"{lowest.full:.3f}, the calibrated total of {lowest.calibrated:.1f} gives "
        f"{lowest.there:.3f}"
    )


def report_scale(stored: Stored) -> Report:
    """The study's table, page and figure."""
    frame = scale_frame(stored)
    labels = LABELS | {"best": f"best total up to {stored.arrays['totals'].max():g}"}
    figure = two_panels(frame, TOTAL_LINES, RECALL_LINES, labels, heading(frame))
    drawings = {"-totals": Drawing(figure, frame)}
    lacking = ["how far apart the trained logits are (not recorded)"]
    page, judged = scale_page(frame, stored), verdicts(stored)
    return Report({".csv": frame}, page, drawings, judged, lacking)
