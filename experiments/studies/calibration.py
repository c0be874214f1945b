"""Do held-out clicks say how far the best strength lies from the rule's?

The best strength of log q lies above the rule's where models know little of the tastes,
and the best pair of strengths takes out more than all of log impressions. Here each
trained model's scores are calibrated: a
conditional logit of held-out clicks on score / temperature and log q has a scale and a
share (research/calibration.py). Relevance is then

    scale * score / temperature + share * log q - log e,

e the exposure. Divided by the scale, this is how to serve: by the impressions of each
item or, with the slope of log e on log q in place of log e, by log q alone. Both are
judged against every strength and every pair of strengths, also without items that got
no click, in lists and fits.

Tastes are learned from real clicks: relevance is the logits of a full softmax trained
on them, of all items for all evaluated users. Clicks are drawn anew from exp(relevance)
times exposure, as many per user as there were, no item twice, and models are trained on
them alone, by ids and histories. There are six kinds of exposure; for powers of
popularity the rule is exact.

    python -m experiments run calibration             about 20 minutes on 2 cores
    python -m experiments run calibration --quick     about 1 minute

On MovieLens 1M (--dataset ml-1m --data-dir DIR --seeds 3) it takes an hour and a half,
on Electronics (--dataset DIR/electronic --arms in-batch --seeds 3) an hour.
Expect calibrated ways to serve near the best ones, except where exposure is popularity.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from experiments.arms import arm
from experiments.kit import (
    Data,
    Named,
    claim,
    collect,
    each,
    joined,
    measured,
    places,
    tidy,
)
from experiments.loaded import prepared_run, study_split
from experiments.studies import STUDIES
from experiments.studies.dial import TOP, best_items, recovered
from experiments.study import OVER_SEEDS, Report, StudyOptions, described
from research.calibration import Calibration, NoScale, calibrate
from research.config import Config
from research.contrast import MORE
from research.negatives.strength import correction_strength
from research.positives import log_share
from research.report.pages import interval_table, seeds_text
from research.report.pictures import (
    BEST,
    CALIBRATED,
    PLAIN,
    Drawing,
    blank,
    legend_above,
    styled,
)
from research.report.records import Stored
from research.train.loop import train
from research.types import Events, Fold, Table, check

NAME, WITH_LOGQ = "calibration", "in-batch+logq"
STRENGTHS = (*np.arange(0, 3.01, 0.25).tolist(), 3.5, 4.0, 5.0, 6.0)  # a
REMOVED = (*np.arange(0, 2.51, 0.25).tolist(), 3.0, 3.5, 4.0, 5.0)  # b
JUDGED = 1500  # users, the first ones, so that ranking takes less time than training
CLICKED = "clicked_"  # before the name of what lists without the other items recover
CELL = "arm kind seed"
FIT, BY_FIT = ("scale", "share"), ("calibrated_rule", "calibrated_rate")
AXES = {
    # what each pair recovers; recall@20 of held-out clicks, and each weighted by 1 / e
    **dict.fromkeys(("recovered", "clicked", "weighted"), f"{CELL} strength removed"),
    "rule": CELL,  # its strength
    **{
        f"{kind}{name}": CELL
        for kind in ("", CLICKED)
        for name in (*FIT, "by_rule", *BY_FIT)
    },
    f"{CLICKED}by_strength": f"{CELL} strength",
}
RECIPE: dict[str, Any] = {"user_features": (), "item_features": ("id",)}


class Kind(NamedTuple):
    """How exposed items are: exposure is popularity^gamma times exp(spread * normal).

    Attributes:
      gamma: power of the share of the real clicks.
      spread: standard deviation of the log of each item's own factor.
    """

    gamma: float
    spread: float


KINDS = {
    "even": Kind(0.0, 0.0),
    "independent": Kind(0.0, 1.0),
    "with popularity": Kind(0.5, 1.0),
    "against popularity": Kind(-0.5, 1.0),
    "root of popularity": Kind(0.5, 0.0),
    "popularity": Kind(1.0, 0.0),
}


class World(NamedTuple):
    """Learned relevance of a real data set, and what clicks are drawn by.

    Attributes:
      relevance: logits of the full softmax, [u, i].
      popularity: log of each item's share of the real clicks, [i].
      clicks: how many each user had, [u].
    """

    relevance: Float[ndarray, "u i"]
    popularity: Float[ndarray, " i"]
    clicks: ndarray


def learned_world(options: StudyOptions) -> World:
    """Trains the full softmax whose logits are the relevance."""
    config = trained_with("full-softmax", options, seed=0)
    fold = prepared_run(config, options.data_dir).fold
    return World(
        trained_logits(config, fold),
        log_share(fold.fitted.item_counts).astype(float),
        np.diff(fold.fitted.offsets)[fold.evaluated],
    )


def drawn_fold(world: World, log_exposure: Float[ndarray, " i"], seed: int) -> Fold:
    """A phase fitted on clicks drawn anew; one more of each user is held out.

    The n items with the largest sum of log weight and Gumbel noise are n draws without
    replacement in proportion to the weights; the noise orders them in time.
    """
    n_users, n_items = world.relevance.shape
    draw = np.random.default_rng([seed, n_users])
    held, fitted = np.empty(n_users, np.int64), []
    for user, count in enumerate(world.clicks):
        count = min(int(count), n_items - 1)
        keys = world.relevance[user] + log_exposure + draw.gumbel(size=n_items)
        order = np.argsort(-keys)[: count + 1]
        held[user] = order[count]
        fitted.append(order[:count])
    sizes = [len(items) for items in fitted]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    item, users = np.concatenate(fitted), np.arange(n_users)
    events = Events(
        user=np.repeat(users, sizes),
        item=item,
        rating=np.ones(len(item), np.float32),
        timestamp=np.arange(len(item)),
        order=np.arange(len(item)),
        offsets=offsets,
        users=Table(users, {}),
        items=Table(np.arange(n_items), {}),
    )
    return check(Fold(events, users, held, users))


def trained_logits(config: Config, fold: Fold) -> Float[ndarray, "u i"]:
    """The logits of a model trained on a fold, of all its users and items."""
    model = train(config, fold)
    scores: Float[ndarray, "u i"] = model.user_vectors @ model.item_vectors.T
    return scores / model.temperature


def drawn_exposure(world: World, kind: Kind, seed: int) -> Float[ndarray, " i"]:
    """The log of each item's exposure, up to a constant."""
    own = np.random.default_rng([seed, 1]).normal(size=len(world.popularity))
    return np.asarray(kind.gamma * world.popularity + kind.spread * own)


class Drawn(NamedTuple):
    """Clicks that are drawn, and what a model of them is judged by.

    Attributes:
      fold: the clicks.
      log_exposure: of each item, up to a constant, [i].
      truth: the most relevant items of the judged users, the first ones, [u, i].
    """

    fold: Fold
    log_exposure: Float[ndarray, " i"]
    truth: Bool[ndarray, "u i"]

    @property
    def log_q(self) -> Float[ndarray, " i"]:
        """The log of each item's share of the clicks."""
        return log_share(self.fold.fitted.item_counts).astype(float)

    @property
    def rule(self) -> float:
        """The total strength by the rule."""
        return correction_strength(self.log_q, self.log_exposure)

    @property
    def clicked(self) -> tuple[ndarray, ndarray]:
        """User and item of each training click of the users that are judged."""
        fitted = self.fold.fitted
        n = fitted.offsets[len(self.truth)]
        return fitted.user[:n], fitted.item[:n]

    @property
    def held(self) -> tuple[ndarray, ndarray]:
        """User and item of their held-out clicks."""
        n = len(self.truth)
        return self.fold.held_user[:n], self.fold.held_item[:n]


def judged(
    logits: Float[ndarray, "u i"], config: Config, drawn: Drawn
) -> dict[str, Any]:
    """Serves a model with every pair of a and b, and by the rule."""
    log_q, log_shown, rule = drawn.log_q, drawn.log_exposure, drawn.rule
    weights = np.exp(log_shown.min() - log_shown[drawn.held[1]])
    best, recall, weighted = np.zeros((3, len(STRENGTHS), len(REMOVED)))
    for a, b in np.ndindex(*best.shape):
        prior = (STRENGTHS[a] - config.logq) * log_q
        prior -= (REMOVED[b] - config.ips) * log_shown
        scores = logits + prior.astype(logits.dtype)
        best[a, b] = recovered(scores, drawn.truth)
        scores[drawn.clicked] = -np.inf
        hit = (scores > scores[drawn.held][:, None]).sum(axis=1) < TOP
        recall[a, b], weighted[a, b] = hit.mean(), np.average(hit, weights=weights)
    prior = (rule - config.logq) * log_q + config.ips * log_shown
    by_rule = recovered(logits + prior.astype(logits.dtype), drawn.truth)
    pairs = {"recovered": best, "clicked": recall, "weighted": weighted}
    return {**pairs, "by_rule": by_rule, "rule": rule}


def calibrated(logits: Float[ndarray, "u i"], drawn: Drawn) -> dict[str, float]:
    """Calibrates a model on the held-out clicks of the judged users, and serves it.

    NaN where the clicks fit no scale above 0.
    """
    log_q, left, held = drawn.log_q, logits.copy(), np.stack(drawn.held)
    left[drawn.clicked] = -np.inf
    try:
        fitted = calibrate(left, log_q, *held[:, left[drawn.held] > -np.inf])
    except NoScale:
        return dict.fromkeys((*FIT, *BY_FIT), np.nan)
    found = {"scale": fitted.scale, "share": fitted.share}
    ways = fitted.by_rule(drawn.rule), fitted.by_impressions()
    for name, way in zip(BY_FIT, ways, strict=True):
        scores = logits + (way.prior * log_q - way.exposure * drawn.log_exposure)
        found[name] = recovered(scores, drawn.truth)
    return found


def without_unclicked(
    logits: Float[ndarray, "u i"], in_loss: float, drawn: Drawn
) -> dict[str, Any]:
    """What a model recovers without the items that got no click, in lists and fits."""
    counts = drawn.fold.fitted.item_counts
    kept = np.where(counts > 0, logits, -np.inf).astype(logits.dtype)
    log_q = drawn.log_q
    by_strength = [
        recovered(kept + (total - in_loss) * log_q, drawn.truth)
        for total in (*STRENGTHS, drawn.rule)
    ]
    found: dict[str, Any] = calibrated(kept, drawn)
    found |= {"by_strength": by_strength[:-1], "by_rule": by_strength[-1]}
    return {f"{CLICKED}{name}": values for name, values in found.items()}


def trained_with(name: str, options: StudyOptions, seed: int) -> Config:
    """The config of an arm of this study: validation takes nothing from training."""
    split = study_split(options.dataset, options.data_dir)
    return options.arm(name, **RECIPE, split=split, seed=seed)


def run_calibration(options: StudyOptions) -> Path:
    """Trains each arm on each kind of exposure's clicks; returns the records.

    A quick run has two kinds.
    """
    world = learned_world(options)
    truth = best_items(world.relevance[:JUDGED])
    points: dict[str, Sequence[Any]] = {"arm": options.arms or STUDIES[NAME].arms}
    points["kind"] = [*KINDS][: 2 if options.quick else None]

    def measure(arm: str, kind: str, seed: int) -> tuple[dict[str, Any], str]:
        log_exposure = drawn_exposure(world, KINDS[kind], seed)
        drawn = Drawn(drawn_fold(world, log_exposure, seed), log_exposure, truth)
        config = trained_with(arm, options, seed)
        logits = trained_logits(config, drawn.fold)[:JUDGED]
        one = judged(logits, config, drawn) | calibrated(logits, drawn)
        return one | without_unclicked(logits, config.logq, drawn), (
            f"{arm}, {kind}, {seed}: scale {one['scale']:.2f}, the rule recovers "
            f"{one['by_rule']:.3f}, calibrated {one['calibrated_rule']:.3f}"
        )

    found = measured(options, points, measure)
    labels = {"strength": STRENGTHS, "removed": REMOVED}
    return collect(options, NAME, AXES, {**points, **labels}, found)


# Ways to serve a model; a "best" one is chosen for each seed by the other seeds.
RULE = "the rule"
CALIBRATED_RULE = "the rule, calibrated"
STRENGTH = "best strength of log q"
RATE = "clicks per impression"
CALIBRATED_RATE = "clicks per impression, calibrated"
BY_WEIGHTED = "pair chosen by weighted clicks"
PAIR = "best pair"
BY_LOG_Q = (RULE, CALIBRATED_RULE, STRENGTH)
BY_IMPRESSIONS = (RATE, CALIBRATED_RATE, PAIR)
POPULARITY, ELECTRONICS = "popularity", "electronic"
BELOW, BEHIND, NEAR, FACTOR = 0.02, 0.01, 0.3, 1.25
LARGEST_SCALE, LARGEST_THERE = 1.0, 0.6
BESIDE = 0.2  # lines between two marks of the figure


def others(values: Named) -> Named:
    """The mean of the other seeds, for each seed; a single one has its own."""
    n = len(values.labels["seed"])
    return values if n == 1 else (values.mean_over("seed") * n - values) / (n - 1)


def best(scores: Named, values: Named, over: str) -> Named:
    """The value where the score is highest; of ties the first."""
    return each(lambda score, value: value[score.argmax()], scores, values, over=over)


def best_pair(scores: Named, shares: Named) -> tuple[Named, Named, Named]:
    """Served with the pair of the highest score: a, b and the share recovered."""
    scores, shares = (
        one.stacked("pair", "strength", "removed") for one in (scores, shares)
    )
    pairs = scores.labels["pair"]
    a, b = (Named(np.array(part), {"pair": pairs}) for part in zip(*pairs, strict=True))
    a, b, recovered = (best(scores, values, "pair") for values in (a, b, shares))
    return a, b, recovered


def ways(data: Data) -> Data:
    """By way to serve: a, b and the share recovered.

    What is best is chosen on the other seeds, to be fair.
    """
    shares, rule, arms = data["recovered"], data["rule"], data.labels("arm")
    in_loss = Named(np.array([arm(name).logq for name in arms]), {"arm": arms})
    none, fit = rule * 0.0, (data["scale"], data["share"])

    def by_rule(scale: float, share: float, rule: float) -> float:
        return Calibration(scale, share).by_rule(rule).prior

    def by_rate(part: str) -> Named:
        return each(
            lambda *fit: getattr(Calibration(*fit).by_impressions(), part), *fit
        )

    alone, prior = shares.at(removed=[0.0]), each(by_rule, *fit, rule) + in_loss
    by_both = by_rate("prior") + in_loss, by_rate("exposure")
    by_way = {
        RULE: (rule, none, data["by_rule"]),
        CALIBRATED_RULE: (prior, none, data["calibrated_rule"]),
        STRENGTH: best_pair(others(alone), alone),
        RATE: (none + 1.0, none + 1.0, shares.at(strength=1.0, removed=1.0)),
        CALIBRATED_RATE: (*by_both, data["calibrated_rate"]),
        BY_WEIGHTED: best_pair(data["weighted"], shares),
        PAIR: best_pair(others(shares), shares),
    }
    parts = zip(("a", "b", "recovered"), zip(*by_way.values(), strict=True))
    found = {name: joined("served", dict(zip(by_way, part))) for name, part in parts}
    return Data(data.header, found)


def without(data: Data) -> Data | None:
    """What is recovered without unclicked items, by way, with scale and share."""
    if f"{CLICKED}scale" not in data:
        return None
    curve = data[f"{CLICKED}by_strength"]
    found = {n: data[f"{CLICKED}{n}"].mean_over("seed") for n in FIT}
    names = {RULE: "by_rule", CALIBRATED_RULE: "calibrated_rule"}
    names[CALIBRATED_RATE] = "calibrated_rate"
    found |= {way: data[f"{CLICKED}{name}"] for way, name in names.items()}
    return Data(data.header, found | {STRENGTH: best(others(curve), curve, "strength")})


def calibration_frame(data: Data) -> pd.DataFrame:
    """One row per arm, kind and way: recovered, its interval, mean a, b and scale."""
    found = {**ways(data), **{name: data[name] for name in FIT}}
    means = {name: found[name].mean_over("seed") for name in ("a", "b", *FIT)}
    return tidy({"recovered": found["recovered"], **means}).rename(
        columns={"kind": "exposure"}
    )


def verdicts(data: Data) -> list[list[str]]:
    """Each part of the prediction: the statement, what was measured, the verdict."""
    out, by_way = [], ways(data)
    for place in places({n: data.labels(n) for n in ("arm", "kind")}):
        where, here = f"{place['arm']}, {place['kind']}: ", data.at(**place)
        for text, values, low, high in stated(here, place["kind"], by_way.at(**place)):
            out.append(claim(where + text, values, low, high))
    clicked = without(data)
    if clicked and WITH_LOGQ in data.labels("arm"):
        out += _of_clicked(clicked)
    return out


def not_judged(data: Data) -> list[str]:
    """The parts of the prediction that these records cannot judge."""
    if WITH_LOGQ not in data.labels("arm"):
        return [f"{WITH_LOGQ} (not run here)"]
    if f"{CLICKED}scale" not in data:
        return ["lists and fits without unclicked items (not measured here)"]
    return []


def _of_clicked(found: Data) -> list[list[str]]:
    """The statements on lists and fits without items that got no click."""
    out, first = [], found.labels("arm")[0]
    for kind in found.labels("kind"):
        here = found.at(arm=WITH_LOGQ, kind=kind)
        behind = [("'best strength of log q'", here[STRENGTH], BELOW)]
        if first != WITH_LOGQ:
            other = found.at(arm=first, kind=kind)[CALIBRATED_RULE]
            behind.append(("it does without log q in the loss", other, BEHIND))
        for than, values, lost in behind:
            text = f"{WITH_LOGQ}, {kind}, clicked items: '{CALIBRATED_RULE}' recovers "
            text += f"at most {lost:g} less than {than}"
            out.append(claim(text, here[CALIBRATED_RULE] - values, -lost))
    return out


Stated = tuple[str, Named, float, float]  # that the number lies between two


def stated(here: Data, kind: str, found: Data) -> list[Stated]:
    """What the prediction says of an arm and a kind of exposure."""
    scale = here["scale"]
    tried = here["recovered"].at(removed=0.0).reduce("strength", np.argmax)
    top = tried.map(lambda n: np.array(here.labels("strength"))[n])
    far, off = (top - found["a"].at(served=way) for way in (RULE, CALIBRATED_RULE))
    nearer = far.map(np.abs) - off.map(np.abs)
    below = np.nextafter(LARGEST_SCALE, 0.0)
    out: list[Stated] = [(f"scale below {LARGEST_SCALE:g}", scale, 0.0, below)]
    if here.header["dataset"] == ELECTRONICS:
        out.append((f"scale below {LARGEST_THERE:g}", scale, 0.0, LARGEST_THERE))
    if kind != POPULARITY:
        out.append(_more(found, CALIBRATED_RULE, RULE))
    out += [
        _more(found, CALIBRATED_RULE, STRENGTH, BELOW),
        _more(found, CALIBRATED_RATE, RATE),
        _more(found, CALIBRATED_RATE, PAIR, BELOW),
        _more(found, CALIBRATED_RATE, BY_WEIGHTED, BEHIND),
        (
            f"the best strength is within {NEAR:g} of the calibrated rule's",
            *(off, -NEAR, NEAR),
        ),
        (
            "the best strength is nearer to the calibrated rule's than to the rule's",
            *(nearer, MORE, np.inf),
        ),
    ]
    if KINDS[kind].spread:
        _, removed, _ = best_pair(here["recovered"], here["recovered"])
        text = f"b of the best pair is 1 / scale times {1 / FACTOR:g} to {FACTOR:g}"
        out.append((text, removed * scale, 1 / FACTOR, FACTOR))
    return out


def _more(found: Data, one: str, other: str, lost: float | None = None) -> Stated:
    """That one way recovers more than another, or not much less."""
    here, there = (found["recovered"].at(served=way) for way in (one, other))
    gain = here - there
    if lost is None:
        return f"'{one}' recovers more than '{other}'", gain, MORE, np.inf
    text = f"'{one}' recovers at most {lost:g} less than '{other}'"
    return text, gain, -lost, np.inf


TERMS = {
    "a, b, e": "total strength of log q; strength of log e; an item's exposure",
    "scale, share": "factors of score / temperature and of log q in a conditional "
    "logit of held-out clicks",
    "calibrated": "served by (scale * score / temperature + share * log q - log e) / "
    "scale; the rule has the slope of log e on log q in place of log e",
    "recovered": "share of each user's 20 most relevant items among the 20 of highest "
    "score; relevance is the logits of a full softmax trained on the real clicks",
    "best": "chosen for each seed by what the other seeds recover",
    "weighted clicks": "held-out clicks, each weighted by 1 / e",
}


def calibration_page(frame: pd.DataFrame, data: Data) -> Sequence[str]:
    """What was measured, and what each way to serve recovers."""
    about = described(
        f"{data.header['dataset']}, {seeds_text(len(data.labels('seed')))}. Each model "
        "is served with score / temperature + a log q - b log e.",
        TERMS,
        OVER_SEEDS,
    )
    fit = {"arm": "", "exposure": "", "scale": ".2f", "share": ".2f"}
    columns = [("recovered [95 %]", "recovered", ".3f")]
    stated = {**fit, "served": "", "a": ".2f", "b": ".2f"}
    page = [about, interval_table(frame, stated, columns, left=2)]
    if clicked := without(data):
        page.append("Without items that got no click, in lists and fits:")
        columns = [(way, way, ".3f") for way in (*BY_LOG_Q, CALIBRATED_RATE)]
        rows = tidy(clicked).rename(columns={"kind": "exposure"})
        page.append(interval_table(rows, fit, columns, left=2))
    return page


@styled
def calibration_figure(frame: pd.DataFrame) -> Drawing:
    """Draws what plain and calibrated ways recover beside the best ones."""
    name = frame.arm.iloc[0]
    points = frame[frame.arm == name]
    kinds = list(dict.fromkeys(points.exposure))
    height = np.arange(len(kinds))[::-1]
    titles = {"log q alone": BY_LOG_Q, "log q and impressions": BY_IMPRESSIONS}
    looks = zip(("as it is", "calibrated", "best"), (PLAIN, CALIBRATED, BEST), "XoD")
    figure, panels = blank(3.6, ncols=len(titles), sharex=True, sharey=True)
    for n, (label, ink, marker) in enumerate(looks):
        for panel, (title, shown) in zip(panels, titles.items(), strict=True):
            way = points[points.served == shown[n]]
            at = height - BESIDE * (n - 1)
            low, high = way.recovered_low, way.recovered_high
            panel.hlines(at, low, high, color=ink.colour, lw=1.2)
            panel.plot(way.recovered, at, marker, color=ink.colour, label=label)
            panel.set(title=f"{name}: {title}")
            panel.set_xlabel("share of the best 20 recovered [95 %]")
    panels[0].set_yticks(height, kinds)
    panels[0].set_ylabel("exposure")
    title = (
        "What scores recover as they are, calibrated on held-out clicks, and at best"
    )
    legend_above(figure, panels[0], title, 3)
    return Drawing(figure, points)


def report_calibration(stored: Stored) -> Report:
    """The study's table, page and figure."""
    data = Data.of(stored, AXES)
    frame = calibration_frame(data)
    drawings = {"-ways": calibration_figure(frame)}
    page, judged = calibration_page(frame, data), verdicts(data)
    return Report({".csv": frame}, page, drawings, judged, not_judged(data))
