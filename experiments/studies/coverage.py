"""Do 95 % intervals cover the truth 95 % of the time, also for nearly tied arms?

A paired difference of two arms is simulated: users, seeds and residuals drawn anew from
normal distributions with the variances that the records of the grid ``ssb`` show, for
pairs of arms from nearly tied to far apart. The interval is that of the tables
(research/report/intervals.py); the true difference is zero. Beside the pairs stand
made-up variances, some with seeds that vary more than the residual, which no pair of
the six shows.

    python -m experiments run coverage             about 4 minutes on 2 cores
    python -m experiments run coverage --quick     a few seconds, about 0.1 minutes

It needs the records of ``ssb`` under the same output folder.
Expect 94 to 97 % for every pair from 2 seeds on, and for made-up variances without a
part of the seeds. With a seeds' part of 3 to 30 times the residual's, 2 seeds cover as
little as 87 %, 3 seeds 92 % and 5 seeds 94 %.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.inputs import study_split
from experiments.output.folders import records_path
from experiments.study import Report, StudyOptions, save_study
from research.data import name_of
from research.report.contrasts import differences
from research.report.intervals import components, two_way
from research.report.pages import markdown_table
from research.report.records import Stored, load_records, read_header, study_header

NAME, SOURCE = "coverage", "ssb"
PAIRS = (
    ("mixed+logq", "uniform-softmax"),
    ("in-batch+logq", "full-softmax"),
    ("in-batch+prior", "in-batch+logq"),
    ("in-batch+logq+mask", "in-batch+logq"),
    ("in-batch+logq", "in-batch"),
    ("full-softmax", "ease"),
)
SEEDS = (2, 3, 5, 12)
TRIALS, QUICK_TRIALS, BLOCK = 10_000, 200, 100
# Made-up variances relative to the residual's: a user's, and a seed's times the users.
MADE_USERS = 300
MADE = tuple(product((0.0, 0.03, 0.1, 0.3, 1.0), (0.0, 1.0, 3.0, 10.0, 30.0)))


def simulate(
    parts: Float[ndarray, " 3"], users: int, seeds: int, trials: int
) -> tuple[float, float]:
    """The share of intervals that hold the truth, and their median half-width.

    Args:
      parts: variances of users, of seeds and of the residual.
      users: rows of each simulated table.
      seeds: columns of it.
      trials: simulated tables.
    """
    rng = np.random.default_rng([users, seeds])
    user, seed, rest = np.sqrt(parts)
    held, widths = 0, []
    for start in range(0, trials, BLOCK):
        n = min(BLOCK, trials - start)
        tables = rest * rng.standard_normal((n, users, seeds))
        tables += user * rng.standard_normal((n, users, 1))
        tables += seed * rng.standard_normal((n, 1, seeds))
        _, low, high = two_way(tables).interval()
        held += int(np.sum(np.logical_and(low <= 0, high >= 0)))
        widths.append((high - low) / 2)
    return held / trials, float(np.median(np.concatenate(widths)))


def run_coverage(options: StudyOptions) -> Path:
    """Simulates every pair of arms and number of seeds; returns the records.

    Raises:
      InputError: the output folder has no records of the grid ``ssb``.
    """
    split = study_split(options.dataset, options.data_dir)
    source = records_path(options.out, name_of(options.dataset), SOURCE, split)
    results = load_records(source)
    trials = QUICK_TRIALS if options.quick else TRIALS
    parts, shares = [], np.zeros((2, len(PAIRS), len(SEEDS)))
    for n, (arm, against) in enumerate(PAIRS):
        values = differences(results, arm, against)
        parts.append(np.maximum(components(values), 0.0))
        for m, seeds in enumerate(SEEDS):
            shares[:, n, m] = simulate(parts[-1], len(values), seeds, trials)
        covered = " ".join(f"{share:.3f}" for share in shares[0, n])
        options.progress(f"{arm} against {against}: {covered}")
    made = [(user, seed / MADE_USERS, 1.0) for user, seed in MADE]
    of_made = [
        [simulate(np.array(p), MADE_USERS, seeds, trials)[0] for seeds in SEEDS]
        for p in made
    ]
    options.progress(f"made variances: {np.min(of_made):.3f} to {np.max(of_made):.3f}")
    digest = read_header(source)["data_digest"]
    header = study_header(
        NAME, options.dataset, options.quick, digest, split, trials=trials
    )
    arrays = {"parts": np.array(parts), "covered": shares[0], "width": shares[1]}
    arrays |= {"made": np.array(MADE), "made_covered": np.array(of_made)}
    return save_study(options.out, {**header, "pairs": PAIRS, "seeds": SEEDS}, arrays)


def report_coverage(stored: Stored) -> Report:
    """The study's table."""
    header, _, arrays = stored
    pairs, lines = header["pairs"], []
    for (n, pair), (m, seeds) in product(enumerate(pairs), enumerate(header["seeds"])):
        line = dict(zip(("arm", "against"), pair, strict=True))
        line |= dict(zip(("users", "seed", "residual"), arrays["parts"][n]))
        line |= {"seeds": seeds, "covered": arrays["covered"][n, m]}
        lines.append(line | {"half_width": arrays["width"][n, m]})
    frame = pd.DataFrame(lines)
    made = pd.DataFrame(arrays["made"], columns=["users", "seeds"])
    made[[f"covered_{n}" for n in header["seeds"]]] = arrays["made_covered"]
    tables = {".csv": frame, "-made.csv": made}
    return Report(tables, _page(frame, made, header["trials"]))


def _page(frame: pd.DataFrame, made: pd.DataFrame, trials: int) -> Sequence[str]:
    rows = []
    for (arm, against), part in frame.groupby(["arm", "against"], sort=False):
        first = part.iloc[0]
        variances = (f"{first[name]:.2g}" for name in ("users", "seed", "residual"))
        cells = zip(part.covered, part.half_width)
        covered = (f"{share:.1%} (±{width:.4f})" for share, width in cells)
        rows.append([f"`{arm}`", f"`{against}`", *variances, *covered])
    of_made = [
        [f"{users:g}", f"{seeds:g}", *(f"{share:.1%}" for share in shares)]
        for users, seeds, *shares in made.itertuples(index=False)
    ]
    headings = ["arm", "against", *(f"variance of {n}" for n in ("users", "seeds"))]
    of_seeds = [f"{n} seeds" for n in frame.seeds.unique()]
    return (
        markdown_table([*headings, "residual", *of_seeds], rows, left=2),
        f"Share of {trials:,} simulated tables whose 95 % interval of the mean holds"
        " the truth (in brackets the median half-width). The variances are those of the"
        " paired difference in recall@20 in the records of `ssb`; estimates below zero"
        " count as zero. The standard error of a share is"
        f" {np.sqrt(0.95 * 0.05 / trials):.1%}.",
        markdown_table(["users", "seeds", *of_seeds], of_made, left=0),
        f"The same for made variances and {MADE_USERS} users. Users: a user's variance"
        " over the residual's. Seeds: a seed's variance over the residual's, times the"
        " users, so that at 1 both add as much to the variance of the mean.",
    )
