"""The study behind the grid exposure: when does log q find what users would choose?

Made worlds (research/data/synthetic.py) over the spread of quality and the spread of
exposure. Training sees clicks alone; the model is judged by the relevance that made
them.
"""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.arms import arm
from experiments.studies.curves import SIMULATED
from research.data.synthetic import Synthetic, made_fold, make_synthetic, relevance
from research.report.intervals import over_seeds
from research.report.pages import (
    QUICK,
    interval_text,
    markdown_page,
    markdown_table,
    write_texts,
)
from research.report.pictures import STYLE, Drawing, above, blank, save_figure
from research.report.records import (
    load_stored,
    records_path,
    save_stored,
    study_header,
)
from research.train.loop import train

__all__ = [
    "ARMS",
    "Phase",
    "phase_figure",
    "phase_frame",
    "recovered",
    "report_exposure",
    "run_exposure",
    "write_phase",
]


class Phase(NamedTuple):
    """recovered [arm, quality, exposure, seed] at the spreads of both; two arms.

    The second arm is the corrected one.
    """

    arms: tuple[str, ...]
    spreads: tuple[float, ...]
    recovered: Float[ndarray, "a q e s"]


def phase_frame(phase: Phase) -> pd.DataFrame:
    """A row a world: both arms' means over seeds, and the paired gain with interval."""
    lines = []
    for q, quality in enumerate(phase.spreads):
        for e, exposure in enumerate(phase.spreads):
            plain, corrected = phase.recovered[:, q, e]
            gain = over_seeds(corrected - plain)
            line: dict[str, float] = {"quality": quality, "exposure": exposure}
            line |= dict(zip(phase.arms, (plain.mean(), corrected.mean()), strict=True))
            line |= {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
            lines.append(line | {"seeds": len(plain)})
    return pd.DataFrame(lines)


def phase_figure(phase: Phase) -> Drawing:
    """Draws the gain of the corrected arm over both spreads, blue where it helps."""
    frame = phase_frame(phase)
    gain = frame.pivot(index="quality", columns="exposure", values="gain")
    limit = float(np.abs(gain.to_numpy()).max())
    with matplotlib.rc_context(STYLE):
        figure, axes = blank(5.2)
        image = axes.imshow(
            gain.to_numpy(), cmap="RdBu", vmin=-limit, vmax=limit, origin="lower"
        )
        axes.grid(False)
        for n, row in enumerate(gain.to_numpy()):
            for m, value in enumerate(row):
                dark = abs(value) > 0.6 * limit
                axes.text(
                    *(m, n, f"{value:+.2f}"),
                    ha="center",
                    va="center",
                    color="white" if dark else "black",
                )
        ticks = [f"{value:g}" for value in phase.spreads]
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_yticks(range(len(ticks)), ticks)
        axes.set_xlabel("spread of exposure (Zipf exponent)")
        axes.set_ylabel("spread of quality (Zipf exponent)")
        bar = figure.colorbar(image, ax=axes, label=f"gain of {phase.arms[1]}")
        bar.ax.set_xlabel(" ")
        best, worst = frame.loc[frame.gain.idxmax()], frame.loc[frame.gain.idxmin()]
        above(
            figure,
            f"Correct where clicks follow quality ({best.gain:+.2f}),\n"
            f"not where they follow exposure ({worst.gain:+.2f})"
            if worst.gain < 0
            else "The correction helps in every world",
        )
    return Drawing(figure, frame)


def write_phase(phase: Phase, table: Path, figure: Path, quick: bool) -> list[Path]:
    """Writes <table>.csv, <table>.md, and the figure's three files."""
    frame, drawing = phase_frame(phase), phase_figure(phase)
    headings = ["quality", "exposure", *phase.arms, "gain [95 %]"]
    rows = [
        [
            f"{row['quality']:g}",
            f"{row['exposure']:g}",
            *(f"{row[name]:.3f}" for name in phase.arms),
            interval_text(row["gain"], row["gain_low"], row["gain_high"], "+.3f"),
        ]
        for row in frame.to_dict("records")
    ]
    page = markdown_page(
        "When does log q find what users would choose?",
        "Share of each user's 20 truly most relevant items among the 20 recommended,"
        " in made worlds; 95 % t intervals over seeds of the paired gain.",
        markdown_table(headings, rows, left=0),
        QUICK if quick else "",
    )
    return [
        *write_texts(table, {".csv": frame, ".md": page}),
        *save_figure(drawing.figure, drawing.points, figure.with_name("exposure-gain")),
    ]


NAME = "exposure"
ARMS = ("in-batch", "in-batch+logq")
SPREADS = (0.0, 0.25, 0.5, 0.75, 1.0)
USERS, ITEMS, GROUPS, CLICKS, TOP = 600, 400, 40, 50, 20
RECIPE: dict[str, Any] = {
    "user_features": (),
    "item_features": ("id",),
    "dim": 32,
    "user_hidden": (64,),
    "item_hidden": (64,),
    "batch": 256,
    "epochs": 12,
    "learning_rate": 3e-3,
}


def recovered(
    users: Float[ndarray, "u d"], items: Float[ndarray, "i d"], world: Synthetic
) -> float:
    """The share of each user's 20 most relevant items among its 20 highest scores.

    Ties of relevance, which only equal qualities of one group have, go by index.
    """

    def top(scores: ndarray) -> ndarray:
        best = np.zeros(scores.shape, bool)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        np.put_along_axis(best, order, True, axis=1)
        return best

    both = top(users @ items.T) & top(relevance(world))
    return float(both.sum(axis=1).mean() / TOP)


def run_exposure(
    out: Path,
    dataset: str = SIMULATED,
    data_dir: str | None = None,
    quick: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Path:
    """Trains each arm in each world; writes records, table and figure under out.

    Args:
      out: the output folder.
      dataset: not used: the worlds are made.
      data_dir: nor is this.
      quick: four worlds, one seed, two epochs: no result.
      progress: told a line a world.
    """
    spreads = SPREADS[:: len(SPREADS) - 1] if quick else SPREADS
    seeds = 1 if quick else 3
    found = np.zeros((len(ARMS), len(spreads), len(spreads), seeds))
    for (q, quality), (e, exposure), seed in itertools.product(
        enumerate(spreads), enumerate(spreads), range(seeds)
    ):
        world = make_synthetic(
            USERS, ITEMS, GROUPS, quality=quality, exposure=exposure, seed=seed
        )
        for a, name in enumerate(ARMS):
            found[a, q, e, seed] = _trained(name, world, seed, 2 if quick else None)
        progress(
            f"quality {quality:g}, exposure {exposure:g}, seed {seed}: recovered "
            + ", ".join(f"{n} {found[a, q, e, seed]:.3f}" for a, n in enumerate(ARMS))
        )
    path = save_stored(
        records_path(out, SIMULATED, NAME),
        study_header(NAME, SIMULATED, quick, arms=list(ARMS)),
        {"recovered": found.astype("<f4"), "spreads": np.array(spreads, "<f4")},
    )
    report_exposure(path, out)
    return path


def report_exposure(records: Path, out: Path) -> list[Path]:
    """Writes the study's table and figure under out from its records.

    Raises:
      InputError: no such file, or of another RESULTS_VERSION.
    """
    header, _, arrays = load_stored(records)
    spreads = tuple(float(x) for x in arrays["spreads"])
    phase = Phase(tuple(header["arms"]), spreads, arrays["recovered"].astype(float))
    table, figure = (out / what / SIMULATED / NAME for what in ("tables", "figures"))
    return write_phase(phase, table, figure, header["quick"])


def _trained(name: str, world: Synthetic, seed: int, epochs: int | None) -> float:
    changes = {**RECIPE, "seed": seed, **({"epochs": epochs} if epochs else {})}
    config = dataclasses.replace(arm(name), **changes)
    done = train(config, made_fold(world, CLICKS, seed))
    return recovered(done.user_vectors, done.item_vectors, world)
