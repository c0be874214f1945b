"""The registry of losses: adding one is a function and one entry here."""

from research.config import Config, swept_fields
from research.entries import read
from research.losses.entry import (
    CATALOGUE,
    CONTEXT,
    DENSE,
    MASK,
    NEGATIVES,
    ONE_TEMPERATURE,
    OPPONENT,
    ORDER,
    SHIFT,
    SQUARE,
    STATE,
    UNIFORM_Q,
    VECTORS,
    Loss,
)
from research.marks import Range
from research.negatives import MOST_LOGITS, is_batch_alone
from research.positives import POSITIVES
from research.registry import Registry, deferred
from research.temperature import TEMPERATURES, kind_of
from research.types import InputError

__all__ = [
    "LOSSES",
    "MASK",
    "ORDER",
    "SHIFT",
    "UNIFORM_Q",
    "Loss",
    "check_loss",
    "hyper_values",
    "start_values",
]

# Laws of losses in which only differences of logits count, and of those that judge each
# logit by itself.
_LISTWISE = frozenset({SHIFT, ORDER, MASK, UNIFORM_Q})
_POINTWISE = frozenset({ORDER, MASK})
# Losses that rank scores: a correction would move the negatives among them.
_RANKED = frozenset({SHIFT, ORDER, MASK})
_RANKS = frozenset({NEGATIVES, CATALOGUE})
# Losses that turn logits back into scores, or bound them, by the temperature.
_SCALED = frozenset({NEGATIVES, ONE_TEMPERATURE})
_CUTOFF = (20.0, "K, the length of the list that counts")
_WHOLE = ("cutoff", "every")  # whole numbers: of places, of epochs
# Bounds outside of which a value means nothing, whichever loss has it.
_BOUNDS = {
    **dict.fromkeys(_WHOLE, Range(1.0)),
    **dict.fromkeys(("tpr", "fpr"), Range(0.0, 1.0, "low")),
    **dict.fromkeys(("width", "opponent_rate"), Range(0.0, open="low")),
    "negative_weight": Range(0.0),
    **dict.fromkeys(("weight_gradient", "calibration"), Range(0.0, 1.0)),
    "positive_share": Range(0.0, 1.0, "high"),
}
_SHARE = (0.1, "share of the negatives that are positives in truth")

LOSSES: Registry[Loss] = Registry(
    "loss",
    {
        "sampled-softmax": Loss(
            deferred("research.losses.softmax:sampled_softmax"),
            laws=_LISTWISE,
            one_pass=True,
        ),
        "decoupled-softmax": Loss(
            deferred("research.losses.softmax:decoupled_softmax"), laws=_LISTWISE
        ),
        "debiased": Loss(
            deferred("research.losses.softmax:debiased"),
            {"positive_share": _SHARE},
            needs=_SCALED,
            laws=_LISTWISE,
        ),
        "hard-negative": Loss(
            deferred("research.losses.softmax:hard_negative"),
            {
                "positive_share": _SHARE,
                "hardness": (1.0, "weight of hard negatives: 0 weighs all alike"),
            },
            needs=_SCALED,
            laws=_LISTWISE,
        ),
        "bilateral-softmax": Loss(
            deferred("research.losses.softmax:bilateral_softmax"),
            {"power": (1.06, "power of the negatives' sum: 1 is decoupled-softmax")},
            laws=_POINTWISE,
        ),
        "bpr": Loss(deferred("research.losses.pairwise:bpr"), laws=_LISTWISE),
        "hinge": Loss(
            deferred("research.losses.pairwise:hinge"),
            {"margin": (1.0, "least gap between positive and negative")},
            laws=_LISTWISE,
        ),
        "psl-tanh": Loss(
            deferred("research.losses.pairwise:psl_tanh"), needs=_SCALED, laws=_LISTWISE
        ),
        "psl-atan": Loss(
            deferred("research.losses.pairwise:psl_atan"), needs=_SCALED, laws=_LISTWISE
        ),
        "psl-relu": Loss(
            deferred("research.losses.pairwise:psl_relu"), needs=_SCALED, laws=_LISTWISE
        ),
        "sl-at-k": Loss(
            deferred("research.losses.top_k:sl_at_k"),
            {
                "width": (1.0, "width of the sigmoid at the threshold, in scores"),
                "cutoff": _CUTOFF,
                "every": (5.0, "every how many epochs the thresholds are set"),
                "weight_gradient": (1.0, "0 stops the gradient through the weight"),
            },
            needs=frozenset({NEGATIVES, VECTORS, STATE}),
            laws=_LISTWISE,
            due=deferred("research.losses.top_k:is_due"),
            init=deferred("research.losses.top_k:first_items"),
            observe=deferred("research.losses.top_k:kth_highest"),
        ),
        "adv-info-nce": Loss(
            deferred("research.losses.adversarial:adv_info_nce"),
            {
                "negative_weight": (64.0, "weight of the negatives' sum"),
                "opponent_rate": (5e-5, "step size of the opponent's tables"),
                "every": (5.0, "every how many epochs the opponent moves"),
            },
            needs=frozenset({NEGATIVES, DENSE, OPPONENT}),
            laws=_LISTWISE,
            due=deferred("research.losses.top_k:is_due"),
            opponent=deferred("research.losses.adversarial:unit_normal"),
        ),
        "llpauc": Loss(
            deferred("research.losses.partial_auc:llpauc"),
            {
                "tpr": (0.7, "largest rate of true positives, alpha of the paper"),
                "fpr": (0.1, "largest rate of false positives, beta of the paper"),
            },
            trainable={
                **{"a": 1.0, "b": 0.0, "s_positive": 0.5, "s_negative": 0.5},
                **{"gamma": 0.0, "slack_a": 0.5, "slack_b": 0.5},
            },
            laws=_POINTWISE,
            project=deferred("research.losses.partial_auc:within_bounds"),
        ),
        "lambda-rank": Loss(
            deferred("research.losses.lambdas:lambda_rank"), needs=_RANKS, laws=_RANKED
        ),
        "lambda-loss": Loss(
            deferred("research.losses.lambdas:lambda_loss"), needs=_RANKS, laws=_RANKED
        ),
        "lambda-loss-at-k": Loss(
            deferred("research.losses.lambdas:lambda_loss_at_k"),
            {"cutoff": _CUTOFF},
            needs=_RANKS,
            laws=_RANKED,
        ),
        "cosine-contrastive": Loss(
            deferred("research.losses.pointwise:cosine_contrastive"),
            {
                "threshold": (0.9, "logit below which a negative doesn't count"),
                "negative_weight": (10.0, "weight of the negatives' mean"),
            },
            laws=_POINTWISE,
        ),
        "weighted-softmax": Loss(
            deferred("research.losses.softmax:weighted_softmax"), laws=_LISTWISE
        ),
        "sigmoid": Loss(
            deferred("research.losses.pointwise:sigmoid"),
            trainable={"bias": 0.0},
            laws=_POINTWISE,
        ),
        "binary-nce": Loss(
            deferred("research.losses.pointwise:binary_nce"),
            trainable={"bias": 0.0},
            laws=_POINTWISE,
        ),
        "gbce": Loss(
            deferred("research.losses.pointwise:gbce"),
            {"calibration": (0.75, "0 is plain cross-entropy, 1 is fully calibrated")},
            trainable={"bias": 0.0},
            laws=_POINTWISE,
        ),
        "siglip": Loss(
            deferred("research.losses.square:siglip"),
            trainable={"log_scale": 0.0, "bias": -10.0},
            needs=frozenset({NEGATIVES, SQUARE}),
            laws=_POINTWISE,
        ),
        # It reads vectors alone, so nothing done to logits changes it.
        "align-uniform": Loss(
            deferred("research.losses.square:align_uniform"),
            {"uniformity": (1.0, "weight of the uniformity of both sides")},
            needs=frozenset({VECTORS}),
            laws=_LISTWISE,
        ),
    },
)


def hyper_values(config: Config) -> dict[str, float]:
    """The loss's own values: its defaults, and those that stand behind its name.

    Raises:
      InputError: no such loss or value, a value that isn't finite, or one twice.

    >>> hyper_values(Config(loss="hinge,margin=0.5"))
    {'margin': 0.5}
    """
    _, loss, values, _ = read(config.loss, LOSSES)
    return {name: values[name] for name in loss.hyper}


def start_values(config: Config) -> dict[str, float]:
    """Initial values of what the loss learns: the entry's, or those behind its name.

    Raises:
      InputError: see hyper_values.

    >>> start_values(Config(loss="gbce,bias=-7.3"))
    {'bias': -7.3}
    """
    _, loss, values, _ = read(config.loss, LOSSES)
    return {name: values[name] for name in loss.trainable}


def check_loss(config: Config, items: int = 0) -> None:
    """Compares what the loss needs with what the run offers.

    Raises:
      InputError: see hyper_values; a name of the loss's own that every run has; or
        negatives or a temperature that the loss lacks or can't use.
    """
    _check_names(config)
    name, loss, _, _ = read(config.loss, LOSSES)
    needs = loss.needs
    for hyper, value in hyper_values(config).items():
        if hyper in _BOUNDS:
            _BOUNDS[hyper].check(f"{name}'s {hyper}", value)
        if hyper in _WHOLE and value != int(value):
            raise InputError(
                f"{name}'s {hyper} is {value:g}: it must be a whole number"
            )
    sources, batch_alone = ", ".join(config.negatives), is_batch_alone(config.negatives)
    if NEGATIVES in needs:
        if not config.negatives:
            raise InputError(f"{name} needs a negative: name a source of them")
        if batch_alone and config.batch == 1:
            raise InputError(
                f"{name} needs a negative: in-batch with batch 1 draws none"
            )
    if SQUARE in needs:
        if not batch_alone:
            raise InputError(
                f"{name} judges all pairs of a batch: it takes in-batch negatives "
                f"alone, not {sources}"
            )
        if config.hardest:
            raise InputError(f"{name} judges all pairs of a batch: hardest must be 0")
        if config.logq:
            raise InputError(
                f"logq {config.logq:g} with {name}: its learned scale would multiply "
                f"log q too; use logq 0"
            )
    if loss.opponent is not None and hyper_values(config)["every"] < 2:
        raise InputError(
            f"{name}'s every is 1: it would train its opponent in every epoch, and "
            f"the towers in none"
        )
    if ONE_TEMPERATURE in needs and not kind_of(config).common:
        raise InputError(
            f"{name} needs one temperature for all rows and items of a step, not those "
            f"of temperature_kind {config.temperature_kind}"
        )
    if NEGATIVES not in needs:
        _check_unused(config, batch_alone, sources)
    if needs & CONTEXT - {VECTORS}:
        _check_scored(config, items)


def _check_names(config: Config) -> None:
    """Refuses a registered loss whose own values would take the place of others."""
    name, loss, _, _ = read(config.loss, LOSSES)
    taken = {*swept_fields(), "epochs", "items"}
    for value in (*loss.hyper, *loss.trainable):
        if value in taken:
            raise InputError(
                f"loss {name}: its value '{value}' has the name of a value that "
                f"every run has: name it otherwise"
            )
        taken.add(value)


def _check_unused(config: Config, batch_alone: bool, sources: str) -> None:
    """Refuses what a loss that sees no negatives would silently ignore."""
    name = read(config.loss, LOSSES).name
    if not batch_alone:
        raise InputError(
            f"{name} uses no negatives: take in-batch, which costs nothing, "
            f"not {sources or 'none'}"
        )
    if config.logq or config.hardest or TEMPERATURES["fixed"] is not kind_of(config):
        raise InputError(
            f"{name} sees vectors, not logits: logq, hardest and a temperature "
            f"that moves do nothing to it"
        )
    if config.batch == 1:
        raise InputError(f"{name} compares the rows of a batch: batch 1 has no two")


def _check_scored(config: Config, items: int) -> None:
    """Refuses what a loss that scores all candidates can't be combined with."""
    name, loss, _, _ = read(config.loss, LOSSES)
    if CATALOGUE in loss.needs and config.logq:
        raise InputError(
            f"logq {config.logq:g} with {name}: ranks are those of the scores, and log "
            f"q would move the negatives alone; use logq 0"
        )
    if config.hardest and DENSE in loss.needs:
        raise InputError(f"hardest {config.hardest} with {name}: it weighs all columns")
    if not POSITIVES.choose(config.positives).ranks_items:
        raise InputError(
            f"{name} with positives {config.positives}: it scores all items for users"
        )
    if 4 * config.batch * items > MOST_LOGITS:
        raise InputError(
            f"{name} needs the scores of {config.batch} rows with all {items} items at "
            f"once, {4 * config.batch * items / 2**30:.1f} GiB: take fewer rows"
        )
