"""One flat, frozen description of a run: its fields are the command line's flags.

Swept fields (TRACED) are arguments of the compiled epoch, so one compilation serves
every value of them; serving fields (SERVING) only re-score finished vectors; all the
others are structure and make a compilation of their own.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from research.types import InputError, choose

__all__ = [
    "REFERENCE",
    "SERVING",
    "TRACED",
    "Config",
    "named_values",
    "structure",
    "training_fields",
]


@dataclass(frozen=True)
class Config:
    """Every choice of a run. Defaults are the reference recipe."""

    dataset: str = "ml-100k"
    """Data set: ml-100k, ml-1m, ml-latest-small, ml-20m, ml-25m."""
    split: str = "ratio"
    """Split: ratio (each user's last 10 % / 10 %), last, or time (global)."""
    fit_on: str = "train+validation"
    """Phase: train (judged on validation) or train+validation (judged on test)."""
    threshold: float = 4.0
    """A rating at or above it is a positive."""
    tie_salt: int = 0
    """Salt of the hash that breaks ties in time."""
    library: str = "clicked"
    """Candidates: clicked (items with a positive) or all (the whole item table)."""
    positives: str = "user-item"
    """Kind of positives: user-item, item-item (of a session) or user-user (halves)."""
    session_gap: float = 1.0
    """Hours without a click that end a session, where positives are item-item."""
    halves: str = "time"
    """How a history is cut in two, where positives are user-user: time or random."""

    model: str = "two-tower"
    """Model: two-tower, or a baseline by its name, such as popularity or ease."""
    baseline: tuple[str, ...] = ()
    """The baseline's own values, as NAME=VALUE; the others keep their defaults."""
    user_features: tuple[str, ...] | None = None
    """User features: id gender age occupation zip genre-profile history-age. Default:
    gender age occupation zip, where the data set has them."""
    item_features: tuple[str, ...] | None = None
    """Item features: id genres year title profile dynamic array. Default: id genres
    year, where the data set has them, and the array where a file is given."""
    item_array: str = ""
    """File of item vectors: .npy, a row an item by ascending id; .npz, ids, vectors."""
    window_days: float = 7.0
    """Width of the windows of time of the item feature dynamic and of --batch-order."""
    history: int = 50
    """Length of the history: the user's last positives before the event; what is
    longer than any user's is cut to the longest."""
    history_order: str = "time"
    """Order of the history: time, or shuffled (the same items: does order matter?)."""
    encoder: str = "mean"
    """History encoder: none, mean, profile, last-click, learned, self-attention or
    query (which takes the words of a search)."""
    search: str = ""
    """Words for the encoder query: simulated (from the title and genres of what is to
    be found: they see it), or a .csv file with columns user, item and query."""
    search_words: int = 4
    """Words of a search: as many are simulated, of a file so many are read."""
    search_noise: float = 0.5
    """Probability that a simulated word is one of any item, and not of the target."""

    dim: int = 64
    """Dimension of the vectors whose dot product is the score."""
    user_hidden: tuple[int, ...] = (128,)
    """Widths of the hidden layers of the user tower."""
    item_hidden: tuple[int, ...] = (128,)
    """Widths of the hidden layers of the item tower."""
    output: str = "cosine"
    """Tower output: cosine (L2-normalised) or dot (as it comes)."""
    dropout: float = 0.2
    """Share of the user tower's input that is dropped in training."""

    negatives: tuple[str, ...] = ("in-batch",)
    """Sources of negatives, as NAME or NAME:DRAWS, united in one candidate set."""
    draws: int = 0
    """Draws of each source that has a number, in place of it (0: as the name says)."""
    alpha: float = 1.0
    """Power of the click count in the popularity source: 0 flat, 1 the click share."""
    mix: float = 1.0
    """Share of the source extra that is uniform; the rest is popularity^alpha."""
    warmup: int = 0
    """Steps before a cache is used; it has to hold enough, too."""
    hardest: int = 0
    """Only so many negatives of a row, those of highest logit (0: all of them)."""
    item_push: str = "drawn"
    """Columns that push items: drawn (all but stored ones), batch, or balanced."""
    band_low: int = 101
    """First rank that the source rank-band draws from."""
    band_high: int = 500
    """Last rank that the source rank-band draws from."""
    logq: float = 0.0
    """Strength of the log q correction in training: 0 is none, 1 is whole."""
    correct_positive: bool = True
    """Whether the positive's logit is corrected too."""
    leave_own_out: bool = False
    """Whether q is Q / (1 - Q of the row's positive)."""
    expected_count: bool = False
    """Whether negatives are corrected by n q (the count expected in n draws), not q."""
    duplicates: str = "keep"
    """Columns of one item: keep (q is per draw), or inclusion (one, q of being in)."""
    frequency: str = "exact"
    """Click share behind log q: exact, or streaming (estimated while training)."""
    frequency_rate: float = 0.01
    """Rate of the streaming estimate's moving average."""
    hashes: int = 1
    """Hash functions of the streaming estimate."""
    buckets: int = 65536
    """Buckets of the streaming estimate, over all its hashes."""
    mask_same_item: bool = False
    """Whether a negative column holding the row's own positive is masked."""
    mask_user_positives: bool = False
    """Whether negatives among the user's other fitted positives are masked."""

    loss: str = "sampled-softmax"
    """Loss, by its name in the registry."""
    hyper: tuple[str, ...] = ()
    """The loss's own values, as NAME=VALUE; the others keep their defaults."""
    temperature: float = 0.1
    """Divides the score; where it moves, its value at the start."""
    temperature_kind: str = "fixed"
    """Temperature: fixed, learned, scheduled, per-user or by-popularity."""
    temperature_low: float = 0.01
    """Least temperature that is learned, or that a user or an item gets."""
    temperature_high: float = 1.0
    """Largest such temperature."""
    temperature_end: float = 0.05
    """Where a scheduled temperature ends, after the last epoch."""
    temperature_schedule: str = "cosine"
    """How it gets there: linear or cosine."""
    temperature_power: float = 0.1
    """Power of the click share that makes up an item's temperature by popularity."""
    temperature_spread: float = 1.0
    """Nats of a user's loss over the mean that count as one in a per-user one."""

    batch: int = 512
    """Rows of a batch."""
    batch_order: str = "shuffled"
    """Order of the pairs in an epoch: shuffled, or time (window after window, shuffled
    within each; the item feature dynamic needs it)."""
    epochs: int = 20
    """Passes over the fitted pairs."""
    optimiser: str = "adamw"
    """Optimiser: adamw, or for tables' touched rows lazy-adam or rowwise-adagrad."""
    learning_rate: float = 1e-3
    """Step size of the optimiser."""
    table_rate: float = 1.0
    """Step size of the embedding tables, as a multiple of learning_rate."""
    weight_decay: float = 1e-5
    """Decoupled weight decay; row-sparse, of the rows that a step touched."""
    evaluate_every: int = 0
    """Epochs between validations when fitting on train (0: at the end only)."""
    seed: int = 0
    """Seed of initial values, batch order, negatives and dropout."""

    prior: float = 0.0
    """Serving prior alpha: lists are ranked by score / temperature + alpha * log q."""


REFERENCE = Config()
TRACED = (
    *("logq", "alpha", "mix", "warmup", "frequency_rate"),
    *("temperature", "learning_rate", "table_rate", "weight_decay", "dropout"),
    *("temperature_low", "temperature_high", "temperature_end"),
    *("temperature_power", "temperature_spread"),
)
SERVING = ("prior",)
# Neither structure nor swept: what a compiled epoch doesn't depend on at all.
_OUTSIDE = ("seed", "epochs", "evaluate_every", "dataset", "split", "fit_on")
_DATA = (
    *("threshold", "tie_salt", "library", "item_array", "window_days", "batch_order"),
    *("search", "search_words", "search_noise"),
)


def structure(config: Config) -> Config:
    """The config with everything swept or outside set to its default: a cache key.

    Dropout of exactly 0 stays: no random numbers are then drawn for it.
    """
    return _without(config, (*TRACED, *SERVING, *_OUTSIDE, "hyper", *_DATA))


def alike(config: Config) -> Config:
    """The config without what runs of one program may differ in: a key of such runs."""
    return _without(config, (*TRACED, *SERVING, "hyper", "seed"))


def _without(config: Config, names: tuple[str, ...]) -> Config:
    blank = Config()
    defaults = {name: getattr(blank, name) for name in names}
    if config.dropout == 0:
        defaults["dropout"] = 0.0
    return dataclasses.replace(config, **defaults)


def training_fields(config: Config) -> dict[str, object]:
    """The fields that decide what is trained: all but the serving ones."""
    fields = dataclasses.asdict(config)
    return {name: fields[name] for name in fields if name not in SERVING}


def named_values(
    given: Sequence[str], defaults: Mapping[str, float], field: str, owner: str
) -> dict[str, float]:
    """The defaults, with what is given as NAME=VALUE in their place.

    Args:
      given: the words.
      defaults: every name that may be set, with its value.
      field: the config's field they stand in, for a message.
      owner: whose values they are, for a message.

    Raises:
      InputError: no such name, a value that is no finite number, a name twice.

    >>> named_values(["margin=0.5"], {"margin": 1.0, "power": 2.0}, "hyper", "hinge")
    {'margin': 0.5, 'power': 2.0}
    """
    values = dict(defaults)
    seen: set[str] = set()
    for word in given:
        name, equals, text = word.partition("=")
        if not defaults:
            raise InputError(f"{field} {word}: {owner} has none to set")
        choose(name, defaults, f"{field} of {owner}")
        if name in seen:
            raise InputError(f"{field} names {name} twice")
        try:
            values[name] = float(text) if equals else math.nan
        except ValueError:
            values[name] = math.nan
        if not math.isfinite(values[name]):
            raise InputError(f"{field} '{word}': expected {name}=NUMBER, a finite one")
        seen.add(name)
    return values
