"""Do log q in the loss and a popularity prior when serving do the same?

A model trained with strength lambda of log q in its loss and served with
score / temperature + alpha log q has corrected lambda + alpha in total. Five lambdas by
five temperatures by cosine and dot outputs are trained; each is served with the alphas
that make the same totals. If they do the same, the curves of recall against the total
are one curve. Every model is served twice: with all items in its lists, and
without those that have no training click, whose scores no loss of in-batch negatives
moves.

A second view needs no clicks: among the films that a user rated in the held-out part,
are those rated 4 and more above those rated 3 and less? There exposure has had its say
already, since each film of the comparison was watched.

    python -m experiments run strength             about 25 minutes on 2 cores, 3 seeds
    python -m experiments run strength --quick     about 1 minute

MovieLens 1M has fewer lambdas and temperatures; Electronics and Movies (--dataset
DIR/electronic, DIR/movie: an hour each) have the lambdas 0 and 1; Gowalla has dot at
0.2 alone. On Electronics the output bounded has the bound of cosines without their
fixed length: which of the two costs log q?

Expect one curve, nearly, for dot, and for cosine up to 0.2, without unclicked items.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.finish import finish_study
from experiments.grid import SHORTER, Elsewhere, Grid
from experiments.kit import Data, Named, claim, collect, each, lines, places, tidy
from experiments.loaded import prepared_run, ratings_of, study_split
from experiments.recipe import FIRST
from experiments.resolve import resolve
from experiments.serve import serve
from experiments.studies import STUDIES
from experiments.study import Report, StudyOptions, described
from research.config import Config
from research.data import name_of
from research.evaluate.metrics import CUTOFF
from research.evaluate.metrics import METRICS as ALL_METRICS
from research.evaluate.record import evaluate
from research.evaluate.top_k import rank_scores, seen_items_of
from research.events import catalogue
from research.files import read_arrays
from research.positives import log_share
from research.prepare import Prepared
from research.report.pages import interval_table, seeds_text
from research.report.pictures import (
    Drawing,
    Look,
    legend_above,
    notes_below,
    strength_ink,
    styled,
)
from research.report.predictions import decided
from research.report.records import Stored
from research.serving import Serving
from research.splits import TEST
from research.temperature import BOUNDED

NAME = "strength"
OUTPUTS = ("cosine", "dot", "bounded")
LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)
TEMPERATURES = (0.05, 0.1, 0.2, 0.3, 0.5)
TOTALS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
MORE_TOTALS = (*TOTALS, 1.75, 2.0, 2.25, 2.5)
MEASURED = (("recall", CUTOFF), ("recall", 100), ("recall_item", CUTOFF))
CLICKED = "clicked_"  # before the name of what lists without the other items give
WITHOUT = f"{CLICKED}recall_20"
METRICS = {
    "recall_20": "recall@20",
    "recall_100": "recall@100",
    "recall_item_20": "item-averaged recall@20",
    "area": "AUC of ratings, rated items only",
    WITHOUT: "recall@20, clicked items listed",
    f"{CLICKED}recall_item_20": "item-averaged recall@20, clicked items listed",
}
# The users of an area are those who rated both liked and disliked items.
STORED = (*METRICS, f"{CLICKED}recall_100")
AXES = dict.fromkeys(STORED, "output temperature in_loss seed total user")
LIKED, DISLIKED = 4.0, 3.0  # ratings from, and up to


class Axes(NamedTuple):
    """The values trained with, along each axis of the arrays, and for how long."""

    outputs: tuple[str, ...]
    temperatures: tuple[float, ...]
    lambdas: tuple[float, ...]
    totals: tuple[float, ...] = TOTALS
    epochs: int = Config.epochs


# A run on these takes ten times as long and more: there are fewer of them.
LARGE = {
    "ml-1m": Axes(OUTPUTS[:1], (0.1, 0.2), (0.0, 0.5, 1.0)),
    "electronic": Axes(OUTPUTS, (0.1, 0.2, 0.4), (0.0, 1.0), MORE_TOTALS),
    "movie": Axes(OUTPUTS[:1], (0.2, 0.4), (0.0, 1.0), MORE_TOTALS),
    "gowalla": Axes(OUTPUTS[1:2], (0.2,), (0.0, 1.0), MORE_TOTALS, epochs=4),
}


def axes_of(dataset: str, quick: bool) -> Axes:
    """The axes of a data set's study; a quick run has one temperature, cosine only."""
    if quick:
        return Axes(OUTPUTS[:1], TEMPERATURES[1:2], LAMBDAS[::4])
    return LARGE.get(name_of(dataset), Axes(OUTPUTS[:2], TEMPERATURES, LAMBDAS))


def grid_of(axes: Axes, output: str) -> Grid:
    """The training runs of one kind of output, as a grid of its own folder."""
    return Grid(
        name=NAME,
        question=STUDIES[NAME].question,
        arms=("in-batch",),
        reference="in-batch",
        minutes=STUDIES[NAME].minutes,
        swept={"temperature": axes.temperatures, "logq": axes.lambdas},
        changes=FIRST | {"output": output, "epochs": axes.epochs},
        elsewhere=Elsewhere(changes=SHORTER),
    )


class Rated(NamedTuple):
    """Held-out rated items of the evaluated users, whose likes are compared.

    row is the user's among the evaluated ones; a user without both kinds is left out.
    """

    row: ndarray
    item: ndarray
    liked: Bool[ndarray, " e"]


def rated_later(run: Prepared, data_dir: str | None) -> Rated | None:
    """What each evaluated user rated and no training saw, liked or disliked.

    Of positives those held out; of others, which are in no part of a split, those after
    the last fitted positive, of the test part where the data has parts, or all where it
    has no times. None where the data set has positives alone.
    """
    config, fold = run.config, run.fold
    ratings = ratings_of(config.dataset, data_dir)
    events = catalogue(
        ratings, config.threshold, config.tie_seed, config.catalogue, with_rated=True
    )
    rated = events.rated
    if rated is None:
        return None
    if rated.part is not None:
        late = rated.part == TEST
    else:
        before = np.cumsum(rated.positive) - rated.positive
        first = np.searchsorted(rated.user, rated.user, side="left")
        late = before - before[first] >= np.diff(fold.fitted.offsets)[rated.user]
        late |= not ratings.timed
    n_items = fold.fitted.n_items
    held = fold.held_user.astype(np.int64) * n_items + fold.held_item
    pair = rated.user.astype(np.int64) * n_items + rated.item
    late = np.where(rated.positive, np.isin(pair, held), late)
    liked = rated.rating >= LIKED
    late &= liked | (rated.rating <= DISLIKED)
    row = np.full(fold.fitted.n_users, -1)
    row[fold.evaluated] = np.arange(len(fold.evaluated))
    row = row[rated.user]
    late &= row >= 0
    both = np.ones(len(fold.evaluated), bool)
    for side in (liked, ~liked):
        both &= np.bincount(row[late & side], minlength=len(both)) > 0
    late &= both[row]
    return Rated(row[late], rated.item[late], liked[late])


def area(values: Float[ndarray, " e"], rated: Rated) -> Float[ndarray, " u"]:
    """Each compared user's share of pairs with the liked item above; half for a tie."""
    areas = []
    for row in np.unique(rated.row):
        own = rated.row == row
        liked = values[own & rated.liked][:, None]
        other = values[own & ~rated.liked]
        areas.append(np.mean((liked > other) + 0.5 * (liked == other)))
    return np.array(areas)


def run_strength(options: StudyOptions) -> Path:
    """Trains every model, serves it at every total; returns the records.

    Raises:
      InputError: a run failed.
    """
    axes = axes_of(options.dataset, options.quick)
    split = study_split(options.dataset, options.data_dir)
    base = Config(dataset=options.dataset, split=split)

    def found() -> Iterator[tuple[dict[str, Any], dict[str, ndarray]]]:
        for output in axes.outputs:
            grid = grid_of(axes, output)
            cells = resolve(grid, base, options.seeds, quick=options.quick)
            for cell, folder in finish_study(cells, NAME, options, output):
                run = prepared_run(cell.config, options.data_dir)
                place = {"output": output, "seed": cell.seed}
                place["temperature"] = cell.swept["temperature"]
                place["in_loss"] = cell.swept["logq"]
                yield place, measured(run, folder, axes.totals, options.data_dir)

    points = {"output": axes.outputs, "temperature": axes.temperatures}
    points |= {"in_loss": axes.lambdas, "total": axes.totals}
    return collect(options, NAME, AXES, points, found(), "<f2")


def measured(
    run: Prepared, folder: Path, totals: Sequence[float], data_dir: str | None
) -> dict[str, Float[ndarray, "s u"]]:
    """Each user's numbers at every total, of a finished run."""
    vectors = read_arrays(folder / "vectors.npz")
    fold, rated = run.task.fold, rated_later(run, data_dir)
    users, items = vectors["users"], vectors["items"]
    scores = np.empty(0)
    if rated is not None:
        scores = (users[rated.row] * items[rated.item]).sum(axis=1)
        scores /= run.config.temperature
    log_q = log_share(fold.fitted.item_counts)
    kinds = (("", 0), (CLICKED, 1))[: 1 + bool((fold.fitted.item_counts == 0).any())]
    rows: dict[str, list[ndarray]] = {}
    for total in totals:
        prior = total - run.config.logq
        for kind, min_clicks in kinds:
            serving = Serving(prior, min_clicks=min_clicks)
            scorer = serve(run, users, items, serving=serving)
            lists = rank_scores(scorer, fold.fitted.n_items, *seen_items_of(fold))
            record = evaluate(fold, lists)
            for metric, k in MEASURED:
                values = ALL_METRICS[metric].of(record, k)
                rows.setdefault(f"{kind}{metric}_{k}", []).append(values)
        if rated is not None:
            values = scores + prior * log_q[rated.item]
            rows.setdefault("area", []).append(area(values, rated))
    return {name: np.stack(values) for name, values in rows.items()}


COMPARED = (0.25, 1.0)  # totals between which the lambdas' curves are compared
STEP, LEAST_SHIFT = 0.02, -0.25
GAP, GAIN = 0.006, 0.01  # in recall@20
COLLAPSE_TO, SERVING_FROM = 0.15, 0.2  # temperatures, for cosine
# Of lists without unclicked items: the gap, its part of that with them, what lambda 1
# may be below lambda 0 at a total, the gap beyond a temperature of cosine.
NARROW, PART, BEHIND, HALF, WIDE, SPANS_TO = 0.02, 0.5, 0.005, 0.5, 0.03, 0.2
# Of the curve of lambda 1 against that of lambda 0: what is predicted of data sets on
# which other temperatures were trained.
SHIFTED = ("electronic", "movie", "gowalla")
BOUNDED_ON = "electronic"  # the data set on which bounded vectors are predicted
SMALL, SHIFTS = 0.1, {0.2: 0.1, 0.4: 0.3}  # least of a bound output by temperature
LEFT = 1 / 3  # of the gap, where the curve is shifted
PEAKS = {  # totals at which the prediction puts the highest mean
    "recall_20": (0.75, 1.25),
    "recall_item_20": (0.5, 0.75),
    "area": (0.0, 0.3),
}
CURVES = ("cosine", "dot")  # outputs of which more is predicted than the shift


def strength_frame(data: Data) -> pd.DataFrame:
    """One row per output, temperature, lambda and total: means and 95 % intervals."""
    frame = tidy({name: data[name] for name in METRICS if name in data})
    frame = frame.rename(columns={"in_loss": "lambda"})
    frame.insert(4, "alpha", frame.total - frame["lambda"])
    return frame


Curve = Float[ndarray, " t"]  # by total


def apart(none: Curve, full: Curve, by: float, totals: Sequence[float]) -> float:
    """The most that two curves differ at the compared totals, one of them shifted."""
    compared = np.arange(COMPARED[0], COMPARED[1] + 1e-9, STEP)
    curve = np.interp(compared + by, totals, full)
    return float(np.abs(curve - np.interp(compared, totals, none)).max())


def nearest(none: Curve, full: Curve, totals: Sequence[float]) -> float:
    """The shift along the total at which two curves are least apart.

    They are read linearly between the totals served.

    >>> totals = np.arange(0.0, 2.51, 0.25)
    >>> none, full = (-np.abs(totals - best) for best in (1.0, 1.5))
    >>> print(f"{nearest(none, full, totals):.1f}")
    0.5
    """
    tried = np.arange(LEAST_SHIFT, totals[-1] - COMPARED[1] + 1e-9, STEP)
    return float(min(tried, key=lambda by: apart(none, full, by, totals)))


def most_shift(data: Data) -> float:
    """The largest shift that the totals served can show."""
    return float(data.labels("total")[-1]) - COMPARED[1]


def derive(data: Data) -> Data:
    """What is stated and shown of each output and temperature.

    In lists with all items and, by CLICKED, without those that have no click: gap,
    the largest difference of the lambdas' means over the compared totals; behind,
    lambda 1 less lambda 0 at HALF. gain, lambda 0 less 1 at a total of 1; shift, how
    much further along the total the curve of lambda 1 lies than that of lambda 0;
    before and after, how far the two lie apart without and with it; best_, the total
    of the highest mean of a metric over the lambdas.
    """
    totals, lambdas = data.labels("total"), data.labels("in_loss")
    none, full = (data.at(in_loss=lambdas[end]) for end in (0, -1))
    compared = [total for total in totals if COMPARED[0] <= total <= COMPARED[1]]
    found: dict[str, Named] = {}
    for kind in ("", CLICKED):
        if (metric := f"{kind}recall_20") in data:
            means = data[metric].mean_over("user", "seed").at(total=compared)
            gaps = means.reduce("in_loss", np.ptp)
            found[f"{kind}gap"] = gaps.reduce("total", np.max)
            behind = full[metric] - none[metric]
            found[f"{kind}behind"] = behind.at(total=HALF)
    for name, part in {"serving": none, "in_loss": full}.items():
        found[name] = part["recall_20"].at(total=1.0).mean_over("user", "seed")
    found["gain"] = (none["recall_20"] - full["recall_20"]).at(total=1.0)
    metric = WITHOUT if WITHOUT in data else "recall_20"
    curves = [part[metric].mean_over("user") for part in (none, full)]
    both = [curve.mean_over("seed") for curve in curves]
    gap = functools.partial(apart, totals=totals)
    shift = each(functools.partial(nearest, totals=totals), *curves, over="total")
    found["shift"], moved = shift, shift.mean_over("seed")
    for name, by in {"before": moved * 0.0, "after": moved}.items():
        found[name] = each(gap, *both, by, over="total")
    for name in METRICS:
        if name in data:
            of_total = data[name].mean_over("user", "seed", "in_loss")
            at = of_total.reduce("total", np.argmax)
            found[f"best_{name}"] = at.map(lambda n: np.array(totals)[n])
    return Data(data.header, found)


def panels_of(
    found: Data, outputs: Sequence[str] = OUTPUTS
) -> Iterator[tuple[str, float, str, Data]]:
    """Each output and temperature, how a statement names it, and what is found."""
    labels = {name: found.labels(name) for name in ("output", "temperature")}
    for place in places(labels):
        output, temperature = place["output"], place["temperature"]
        if output in outputs:
            where = f"{output}, temperature {temperature:g}"
            yield output, temperature, where, found.at(**place)


def verdicts(data: Data) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    found, out = derive(data), []
    for output, temperature, where, here in panels_of(found, CURVES):
        if output != "cosine" or temperature <= COLLAPSE_TO:
            text = f"{where}: lambdas at equal totals within {GAP:g}"
            out.append(_gap(text, here["gap"], most=GAP))
        if output == "cosine" and temperature >= SERVING_FROM:
            text = f"{where}: all of it when serving at least {GAIN:g} above all in the"
            out.append(claim(f"{text} loss", here["gain"], GAIN))
    if WITHOUT in data:
        for output, temperature, where, here in panels_of(found, CURVES):
            wide = output == "cosine" and temperature > SPANS_TO
            out += _without_unclicked(f"{where}, clicked items listed: ", wide, here)
    if data.header["dataset"] in SHIFTED:
        for output, temperature, where, here in panels_of(found):
            least = SHIFTS.get(temperature, 0.0) if output in BOUNDED else 0.0
            out += _of_shift(f"{where}: lambda 1 is ", least, here)
    for metric, (low, high) in PEAKS.items():
        if metric in data:
            best = f"best_{metric}"
            tops = [here[best].item() for *_, here in panels_of(found, CURVES)]
            inside = sum(low <= top <= high for top in tops)
            ends = dict.fromkeys(f"{top:g}" for top in (min(tops), max(tops)))
            text = f"{METRICS[metric]} peaks at a total of {low:g} to {high:g}"
            said = f"in {inside} of {len(tops)} panels; at {' to '.join(ends)}"
            out.append(decided(text, said, inside == len(tops)))
    return out


def _gap(
    text: str, gap: Named, least: float = -np.inf, most: float = np.inf
) -> list[str]:
    return decided(text, f"{gap.item():.3f} apart", least < gap.item() < most)


def _without_unclicked(where: str, wide: bool, here: Data) -> list[list[str]]:
    """The statements on lists without items that have no training click."""
    gap, before = here[f"{CLICKED}gap"], here["gap"].item()
    if wide:
        text = f"{where}lambdas at equal totals more than {WIDE:g} apart"
        return [_gap(text, gap, least=WIDE)]
    text = f"{where}at a total of {HALF:g} lambda 1 is at most {BEHIND:g} below 0"
    part = gap.item() / before
    return [
        _gap(f"{where}lambdas at equal totals within {NARROW:g}", gap, most=NARROW),
        decided(
            f"{where}at most half as far apart as with all items",
            *(f"{part:.2f} of {before:.3f}", part <= PART),
        ),
        claim(text, here[f"{CLICKED}behind"], -BEHIND),
    ]


def _of_shift(where: str, least: float, here: Data) -> list[list[str]]:
    """The statements on how far the curve of lambda 1 is shifted along the total."""
    if not least:
        text = f"{where}shifted by at most {SMALL:g}"
        return [claim(text, here["shift"], -SMALL, SMALL, "+.2f")]
    text, before = f"{where}shifted by at least {least:g}", here["before"].item()
    part = here["after"].item() / before
    return [
        claim(text, here["shift"], least, form="+.2f"),
        decided(
            f"{where}so shifted at most a third as far from lambda 0",
            *(f"{part:.2f} of {before:.4f}", part <= LEFT),
        ),
    ]


def not_judged(data: Data) -> list[str]:
    """The parts of the prediction that these records cannot judge."""
    outputs, temperatures = (data.labels(n) for n in ("output", "temperature"))
    elsewhere = data.header["dataset"] in SHIFTED
    of_bounded = data.header["dataset"] == BOUNDED_ON
    lacking = {
        "cosines": "cosine" not in outputs,
        "dot products": "dot" not in outputs,
        BOUNDED["bounded"]: of_bounded and "bounded" not in outputs,
        "cosines at 0.1": elsewhere and "cosine" in outputs and 0.1 not in temperatures,
        "cosines above 0.2": not elsewhere and max(temperatures) <= SPANS_TO,
        "lists without unclicked items": WITHOUT not in data,
        METRICS["area"]: "area" not in data,
    }
    return [f"{part} (not run here)" for part, absent in lacking.items() if absent]


TERMS = {
    "gap": "the largest difference between lambdas at totals from 0.25 to 1",
    "clicked items": "lists without items that have no training click",
    "shifted": "how far the curve of lambda 1 must be moved back along the total to "
    "lie nearest to that of lambda 0 at these totals, seed by seed; in lists of "
    "clicked items, if some are not clicked; a dash: further than the totals served "
    "show",
    "best total": "where the mean over the lambdas peaks",
}
COLUMNS = {
    "gap": ("largest gap between lambdas", ".4f"),
    "serving": ("recall@20, total 1 when serving", ".4f"),
    "in_loss": ("recall@20, total 1 in the loss", ".4f"),
    "gain": ("difference [95 %]", "+.4f"),
    f"{CLICKED}gap": ("largest gap, clicked items listed", ".4f"),
    "behind": (f"total {HALF:g}: lambda 1 less 0 [95 %]", "+.4f"),
    f"{CLICKED}behind": (
        f"total {HALF:g}: lambda 1 less 0, clicked items listed [95 %]",
        "+.4f",
    ),
    "shift": ("lambda 1 is shifted by [95 %]", "+.2f"),
    "after": ("lambda 1 and 0 then apart by", ".4f"),
    **{f"best_{name}": (f"best total, {what}", "g") for name, what in METRICS.items()},
}


def strength_page(data: Data, found: Data) -> Sequence[str]:
    """What was measured, and where each panel peaks, in Markdown."""
    header = data.header
    about = described(
        f"{header['dataset']}, {seeds_text(len(data.labels('seed')))}. Lambda is the "
        "strength of log q in the loss, alpha that of the popularity prior when "
        "serving; the total is their sum.",
        TERMS,
        "Intervals are 95 %, two-way over users and seeds; those of shifts are t "
        f"intervals over seeds. Data {header['data_digest'][:12]}.",
    )
    rows = tidy(found)
    beyond = rows["shift"] > most_shift(data) - STEP
    hidden = ["shift", "shift_low", "shift_high", "after"]
    rows.loc[beyond, hidden] = np.nan
    columns = [(head, name, f) for name, (head, f) in COLUMNS.items() if name in found]
    stated = {"output": "", "temperature": "g"}
    return about, interval_table(rows, stated, columns, left=1)


NAMES = {"cosine": "cosine", "dot": "dot product", "bounded": "bounded dot"}


@styled
def outputs_figure(frame: pd.DataFrame, found: Data, most: float) -> Drawing:
    """Recall of each output by the total, with none or all of log q in the loss.

    By how much the curve is moved stands in the panel, where the totals show it.
    """
    metric = WITHOUT if WITHOUT in frame else "recall_20"
    ends = frame["lambda"].isin([frame["lambda"].min(), frame["lambda"].max()])
    names = {f"{metric}{end}": f"value{end}" for end in ("", "_low", "_high")}
    points = frame.loc[ends, ["output", "temperature", "lambda", "total", *names]]
    points = points.rename(columns=names)
    points = points.assign(row=points.output.map(NAMES) + "\nrecall@20")
    figure, panels = lines(
        points,
        ("total", "value", "lambda"),
        lambda strength: Look(strength_ink(strength), "o"),
        (" ", ""),
        facet="temperature",
        row="row",
        height=4.2,
        sharey="row",
        name="lambda {:g}".format,
        ms=3,
        lw=1.2,
    )
    first = next(iter(panels))
    for output, temperature, _, here in panels_of(found):
        row = f"{NAMES[output]}\nrecall@20"
        panel, by = panels[row, temperature], here["shift"].values.mean()
        if row == first[0]:
            what = "temperature " if temperature == first[1] else ""
            panel.set_title(f"{what}{temperature:g}", fontsize=9)
        if by < most - STEP:
            panel.text(0.97, 0.06, f"{by:+.2f}", transform=panel.transAxes, ha="right")
        panel.yaxis.label.set_fontsize(9)
    label = "total strength: in the loss + when serving"
    notes_below(figure, [label], fontsize=10, x=0.5, ha="center")
    title = "Log q in the loss moves the curve (numbers: how far)"
    legend_above(figure, panel, title, 5)
    return Drawing(figure, points.assign(row=points.row.str.replace("\n", ", ")))


def report_strength(stored: Stored) -> Report:
    """The study's table, page and figure."""
    data = Data.of(stored, AXES)
    frame, found = strength_frame(data), derive(data)
    drawings = {"-outputs": outputs_figure(frame, found, most_shift(data))}
    page, judged = strength_page(data, found), verdicts(data)
    return Report({".csv": frame}, page, drawings, judged, not_judged(data))
