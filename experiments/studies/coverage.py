"""Do 95 % intervals cover the truth 95 % of the time, also for nearly tied arms?

A paired difference of two arms is simulated: users, seeds and residuals drawn anew from
normal distributions with the variances that the records of the grid ``ssb`` show, for
pairs of arms from nearly tied to far apart. The interval is that of the tables
(research/report/intervals.py); the true difference is zero. Beside the pairs stand
made-up variances, some with seeds that vary more than the residual, which no pair of
the six shows. Verdicts go by p values after Holm, whose strictest step lies far below
0.05: how often is p below the level of that step?

    python -m experiments run coverage             about 3 minutes on 2 cores
    python -m experiments run coverage --quick     a few seconds, about 0.1 minutes

It needs the records of ``ssb`` under the same output folder.
Expect 94 to 97 % for every pair from 2 seeds on, and for made-up variances without a
part of the seeds. With a seeds' part of 3 to 30 times the residual's, 2 seeds cover as
little as 87 %, 3 seeds 92 % and 5 seeds 94 %. Expect p below 0.0025 in 0.1 to 0.6 % of
the tables of every pair. Where users differ as much as the residual and seeds 30 times
as much, it is 5.5 % with 2 seeds, 2.1 % with 3, 0.8 % with 5 and 0.3 % with 12.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from experiments.inputs import study_split
from experiments.output.folders import records_path
from experiments.study import Report, StudyOptions, save_study
from research.data import name_of
from research.report.contrasts import differences
from research.report.intervals import ALPHA, components, two_way
from research.report.pages import markdown_table
from research.report.records import Stored, load_records, read_header, study_header
from research.types import InputError

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
FAMILY = 20  # contrasts of a grid, about; Holm compares the least p with ALPHA / FAMILY
STRICT = ALPHA / FAMILY
# Made-up variances relative to the residual's: a user's, and a seed's times the users.
MADE_USERS = 300
MADE = tuple(product((0.0, 0.03, 0.1, 0.3, 1.0), (0.0, 1.0, 3.0, 10.0, 30.0)))


class Simulated(NamedTuple):
    """What simulated tables without a difference show.

    Attributes:
      covered: the share of intervals that hold the truth.
      width: the median of their half-widths.
      found: the share of p values below STRICT: STRICT itself, if they are right.
    """

    covered: float
    width: float
    found: float


def simulate(
    parts: Float[ndarray, " 3"], users: int, seeds: int, trials: int
) -> Simulated:
    """Tables of users by seeds, whose true mean is zero.

    Args:
      parts: variances of users, of seeds and of the residual.
      users: rows of each simulated table.
      seeds: columns of it.
      trials: simulated tables.
    """
    rng = np.random.default_rng([users, seeds])
    user, seed, rest = np.sqrt(parts)
    held, found, widths = 0, 0, []
    for start in range(0, trials, BLOCK):
        n = min(BLOCK, trials - start)
        tables = rest * rng.standard_normal((n, users, seeds))
        tables += user * rng.standard_normal((n, users, 1))
        tables += seed * rng.standard_normal((n, 1, seeds))
        estimate = two_way(tables)
        _, low, high = estimate.interval()
        held += int(np.sum(np.logical_and(low <= 0, high >= 0)))
        found += int(np.sum(estimate.p() < STRICT))
        widths.append((high - low) / 2)
    width = float(np.median(np.concatenate(widths)))
    return Simulated(held / trials, width, found / trials)


def run_coverage(options: StudyOptions) -> Path:
    """Simulates every pair of arms and number of seeds; returns the records.

    Raises:
      InputError: the output folder has no records of the grid ``ssb``.
    """
    split = study_split(options.dataset, options.data_dir)
    source = records_path(options.out, name_of(options.dataset), SOURCE, split)
    results = load_records(source)
    trials = QUICK_TRIALS if options.quick else TRIALS
    parts, shares = [], np.zeros((3, len(PAIRS), len(SEEDS)))
    for n, (arm, against) in enumerate(PAIRS):
        values = differences(results, arm, against)
        parts.append(np.maximum(components(values), 0.0))
        for m, seeds in enumerate(SEEDS):
            shares[:, n, m] = simulate(parts[-1], len(values), seeds, trials)
        covered = " ".join(f"{share:.3f}" for share in shares[0, n])
        options.progress(f"{arm} against {against}: {covered}")
    made = [(user, seed / MADE_USERS, 1.0) for user, seed in MADE]
    of_made = [
        [simulate(np.array(p), MADE_USERS, seeds, trials) for seeds in SEEDS]
        for p in made
    ]
    made_covered, _, made_found = np.moveaxis(np.array(of_made), -1, 0)
    covered = f"{made_covered.min():.3f} to {made_covered.max():.3f}"
    options.progress(f"made variances: {covered}")
    digest = read_header(source)["data_digest"]
    header = study_header(
        NAME, options.dataset, options.quick, digest, split, trials=trials
    )
    arrays = {"parts": np.array(parts), **dict(zip(Simulated._fields, shares))}
    arrays |= {"made": np.array(MADE), "made_covered": made_covered}
    arrays |= {"made_found": made_found}
    return save_study(options.out, {**header, "pairs": PAIRS, "seeds": SEEDS}, arrays)


def report_coverage(stored: Stored) -> Report:
    """The study's table.

    Raises:
      InputError: the records are from before p values were counted.
    """
    header, _, arrays = stored
    if "found" not in arrays:
        raise InputError("these records lack p values: run the study again")
    pairs, lines = header["pairs"], []
    for (n, pair), (m, seeds) in product(enumerate(pairs), enumerate(header["seeds"])):
        line = dict(zip(("arm", "against"), pair, strict=True))
        line |= dict(zip(("users", "seed", "residual"), arrays["parts"][n]))
        line |= {"seeds": seeds, "covered": arrays["covered"][n, m]}
        line |= {"half_width": arrays["width"][n, m], "found": arrays["found"][n, m]}
        lines.append(line)
    frame = pd.DataFrame(lines)
    made = pd.DataFrame(arrays["made"], columns=["users", "seeds"])
    for name in ("covered", "found"):
        columns = [f"{name}_{n}" for n in header["seeds"]]
        made[columns] = arrays[f"made_{name}"]
    tables = {".csv": frame, "-made.csv": made}
    return Report(tables, _page(frame, made, header["trials"]))


def _page(frame: pd.DataFrame, made: pd.DataFrame, trials: int) -> Sequence[str]:
    rows, strict = [], []
    for (arm, against), part in frame.groupby(["arm", "against"], sort=False):
        first = part.iloc[0]
        variances = (f"{first[name]:.2g}" for name in ("users", "seed", "residual"))
        cells = zip(part.covered, part.half_width)
        covered = (f"{share:.1%} (±{width:.4f})" for share, width in cells)
        names = f"`{arm}`", f"`{against}`"
        rows.append([*names, *variances, *covered])
        strict.append([*names, *(f"{share:.2%}" for share in part.found)])
    headings = ["arm", "against", *(f"variance of {n}" for n in ("users", "seeds"))]
    of_seeds = [f"{n} seeds" for n in frame.seeds.unique()]
    of_made = [*_rows(made, "covered", ".1%")], [*_rows(made, "found", ".2%")]
    return (
        markdown_table([*headings, "residual", *of_seeds], rows, left=2),
        f"Share of {trials:,} simulated tables whose 95 % interval of the mean holds"
        " the truth (in brackets the median half-width). The variances are those of the"
        " paired difference in recall@20 in the records of `ssb`; estimates below zero"
        " count as zero. The standard error of a share is"
        f" {_error(0.95, trials):.1%}.",
        markdown_table(["users", "seeds", *of_seeds], of_made[0], left=0),
        f"The same for made variances and {MADE_USERS} users. Users: a user's variance"
        " over the residual's. Seeds: a seed's variance over the residual's, times the"
        " users, so that at 1 both add as much to the variance of the mean.",
        markdown_table(["arm", "against", *of_seeds], strict, left=2),
        f"Share of the same tables with p below {STRICT:g}, which Holm asks of the"
        f" least p of {FAMILY} contrasts. No table has a difference, so that it should"
        f" be {STRICT:.2%}; its standard error is then {_error(STRICT, trials):.2%}.",
        markdown_table(["users", "seeds", *of_seeds], of_made[1], left=0),
        "The same for the made variances.",
    )


def _rows(made: pd.DataFrame, name: str, form: str) -> Iterator[list[str]]:
    """The rows of a table of shares by made variances."""
    for _, row in made.iterrows():
        shares = row.filter(like=f"{name}_")
        yield [f"{row.users:g}", f"{row.seeds:g}", *(f"{n:{form}}" for n in shares)]


def _error(share: float, trials: int) -> float:
    return float(np.sqrt(share * (1 - share) / trials))
