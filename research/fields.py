"""The fields of a run, a group for each stage, with their help and their checks.

The string below a field is its help on the command line. Marks (research/marks.py) say
which role it has for a compiled run and which values it may hold; rules between fields
of one group are in the group's ``check``. Rules of a stage's registry that concern
several groups are checked by research/prepare.py.
"""

from dataclasses import dataclass
from typing import Annotated

from research.entries import Named
from research.marks import (
    OMITTED,
    SEED,
    SERVING,
    SWEPT,
    UNCOMPILED,
    Choice,
    Range,
    check_marks,
)
from research.types import InputError, check_distinct

_ABOVE_0, _AT_LEAST_0, _AT_LEAST_1 = Range(0.0, open="low"), Range(0.0), Range(1.0)


class Group:
    """A group of fields; ``check`` refuses invalid values."""

    def check(self) -> None:
        """Compares each field with its marks.

        Raises:
          InputError: the first field with an invalid value, in one line.
        """
        for cls in type(self).__mro__:
            if "__dataclass_fields__" in cls.__dict__:
                check_marks(self, cls)
                return


@dataclass(frozen=True)
class DataFields(Group):
    """Which data, which part of it is fitted, and what counts as a pair."""

    dataset: Annotated[str, UNCOMPILED] = "ml-100k"
    """Data set: ml-100k, ml-1m, ml-latest-small, ml-20m, ml-25m, or the path of your
    own file or folder (docs/own-data.md)."""
    columns: Annotated[tuple[str, ...], UNCOMPILED, OMITTED] = ()
    """Names of your own data's columns, as user=NAME item=NAME; others keep theirs."""
    core: Annotated[int, UNCOMPILED, OMITTED, _AT_LEAST_0] = 0
    """Least number of positives of each user and item: those with fewer are left out,
    repeatedly, until all have it (0: no limit)."""
    split: Annotated[str, UNCOMPILED, Named("research.splits:SPLITS")] = "ratio"
    """Split: ratio (each user's last 10 % / 10 %), last, time (global), random (of each
    user, from seed, with sizes ratio or recbole), or given (the data's own column part;
    validation is the share of the train part that validates where none does)."""
    fit_on: Annotated[
        str, UNCOMPILED, Choice("train", "train+validation", "train-only")
    ] = "train+validation"
    """Phase: train (judged on validation), train+validation (judged on test) or
    train-only (judged on test, the validation part not used)."""
    left_out: Annotated[
        str, UNCOMPILED, OMITTED, Choice("fitted", "train", "train+validation")
    ] = "fitted"
    """Which of a user's positives no list contains: the fitted ones, or those of the
    parts named."""
    threshold: Annotated[float, UNCOMPILED] = 4.0
    """A rating at or above it is a positive; without ratings every row is one."""
    judged_from: Annotated[float, UNCOMPILED, OMITTED, _AT_LEAST_0] = 0.0
    """Least rating of a positive that lists are judged by or leave out; a positive
    below it serves training alone (0: as threshold)."""
    tie_seed: Annotated[int, UNCOMPILED, SEED] = 0
    """Seed of the hash that breaks ties in time."""
    catalogue: Annotated[str, UNCOMPILED, Choice("clicked", "all")] = "clicked"
    """Catalogue: clicked (items with a positive) or all (the whole item table)."""
    positives: Annotated[str, Named("research.positives:POSITIVES")] = "user-item"
    """Kind of positives: user-item, item-item (of a session: gap, the hours without a
    click that end one) or user-user (halves of a history, by time or random)."""

    def check(self) -> None:
        """Also refuses fields that exclude each other."""
        super().check()
        if 0 < self.judged_from < self.threshold:
            raise InputError(
                f"judged_from is {self.judged_from:g}: it must be 0, or at least "
                f"threshold ({self.threshold:g})"
            )
        if self.fit_on == "train" and self.left_out == "train+validation":
            raise InputError(
                "left_out train+validation with fit_on train: what lists are judged by "
                "would be left out of them"
            )


@dataclass(frozen=True)
class ModelFields(Group):
    """Which model is fitted: the two towers, or a baseline."""

    model: str = "two-tower"
    """Model: two-tower, or a baseline, with its own values after commas, as ease,l2=300
    (the others keep their defaults)."""


@dataclass(frozen=True)
class FeatureFields(Group):
    """What each tower reads about its own side."""

    user_features: tuple[str, ...] | None = None
    """User features, and any column of the table of users. Default: gender age
    occupation zip, where the data set has them, and with layers added or residual
    id."""
    item_features: tuple[str, ...] | None = None
    """Item features, and any column of the table of items. Default: id genres year,
    where the data set has them, and the array where a file is given."""
    item_array: Annotated[str, UNCOMPILED] = ""
    """File of item vectors: .npy, one row per item by ascending id; .npz, ids and
    vectors."""
    history: Annotated[int, _AT_LEAST_0] = 50
    """Length of the history: the user's last positives before the event; cut to the
    longest history of the data set."""
    history_order: Annotated[str, Choice("time", "shuffled")] = "time"
    """Order of the history: time, or shuffled (the same items: does order matter?)."""
    encoder: Annotated[str, Named("research.towers:ENCODERS")] = "mean"
    """History encoder."""
    search: Annotated[str, UNCOMPILED, Named("research.features.search:SEARCHES")] = (
        "none"
    )
    """Words for the encoder query: none; simulated (from the text of the held-out item,
    which they therefore reveal; noise is the probability of a word of any item); or
    file (path is a .csv file with columns user, item and query). The value words is
    their number per search."""

    def check(self) -> None:
        """Also refuses a feature that is given twice."""
        super().check()
        for name in ("user_features", "item_features"):
            check_distinct(getattr(self, name) or (), name)


@dataclass(frozen=True)
class TowerFields(Group):
    """The shape of the two towers."""

    dim: Annotated[int, _AT_LEAST_1] = 64
    """Dimension of the vectors whose dot product is the score."""
    user_hidden: tuple[int, ...] = (128,)
    """Widths of the hidden layers of the user tower."""
    item_hidden: tuple[int, ...] = (128,)
    """Widths of the hidden layers of the item tower."""
    output: Annotated[str, Choice("cosine", "dot", "bounded")] = "cosine"
    """Tower output: cosine (L2-normalised), dot (as it comes) or bounded (as it comes,
    but no longer than 1)."""
    serve_norm: Annotated[str, OMITTED, Choice("trained", "dot")] = "trained"
    """Output when serving: trained (as in training) or dot (vectors before they are
    normalised or shortened, so that longer ones of items rank higher)."""
    layers: Annotated[str, Choice("added", "residual", "mlp", "none", "bias")] = "added"
    """Layers of the towers: added (the id's own row, plus a linear map of all else and
    hidden layers of it that start at zero), residual (the same, and these read the own
    row, too), mlp (hidden ones, then a linear one), none (a vector is the own row:
    matrix factorisation), or bias (the same with a bias for each item: the last number
    of each user's vector is 1)."""
    table_scale: Annotated[float, UNCOMPILED, OMITTED, _AT_LEAST_0] = 0.05
    """Standard deviation of the tables' initial values (0: Xavier's, by their size)."""
    dropout: Annotated[float, SWEPT, Range(0.0, 1.0, "high")] = 0.2
    """Share of the user tower's input that is dropped in training."""
    click_dropout: Annotated[float, SWEPT, OMITTED, Range(0.0, 1.0, "high")] = 0.5
    """Share of the clicks of a history that are left out in training, at random."""

    def check(self) -> None:
        """Also refuses hidden layers without units, and item biases beside cosines."""
        super().check()
        if any(width < 1 for width in self.user_hidden + self.item_hidden):
            raise InputError("a hidden layer's width is below 1")
        if self.layers == "bias" and (self.output != "dot" or self.dim < 2):
            raise InputError(
                f"layers bias with output {self.output} and dim {self.dim}: it needs "
                f"output dot, and a dim of at least 2"
            )


@dataclass(frozen=True)
class NegativeFields(Group):
    """Where negatives come from."""

    negatives: Annotated[
        tuple[str, ...], Named("research.negatives:SOURCES", drawn=True)
    ] = ("in-batch",)
    """Sources of negatives, as NAME or NAME:DRAWS, united in one candidate set; their
    own values follow, as popularity:1024,alpha=0.75 (list negatives)."""
    draws: Annotated[int, _AT_LEAST_0] = 0
    """Draws of each source that is named with a number, in its place (0: as named)."""
    hardest: Annotated[int, _AT_LEAST_0] = 0
    """Number of negatives per row to keep, those of highest logit (0: all of them)."""
    item_gradient: Annotated[str, Choice("drawn", "batch", "balanced")] = "drawn"
    """Negatives whose gradient pushes items away: drawn (all but those of a cache),
    batch (in-batch ones alone), or balanced (in-batch ones, in place of all)."""
    loader_workers: Annotated[int, OMITTED, _AT_LEAST_0] = 0
    """Workers of a simulated data loader, which all start each epoch from one random
    state: that many steps in a row draw alike, in every epoch (0: fresh draws)."""


@dataclass(frozen=True)
class CorrectionFields(Group):
    """How negatives are corrected for being sampled, and which are masked."""

    logq: Annotated[float, SWEPT] = 0.0
    """Strength of the log q correction in training: 0 is none, 1 is whole."""
    correct_positive: bool = True
    """Whether the positive's logit is corrected too."""
    leave_own_out: bool = False
    """Whether negatives are corrected by Q / (1 - Q of the row's positive): as drawn
    from the other items. With expected_count and mask_same_item it changes nothing."""
    expected_count: bool = False
    """Whether negatives are corrected by n q (the count expected in n draws), not q."""
    duplicates: Annotated[str, Choice("keep", "inclusion")] = "keep"
    """Columns that hold one item: keep (all of them, q per draw), or inclusion (one, q
    the probability of being drawn at all)."""
    frequency: Annotated[str, Named("research.negatives.frequencies:FREQUENCIES")] = (
        "exact"
    )
    """Click share behind log q: exact, streaming (estimated from gaps while training)
    or periodic (counted over the last whole window of steps), with its values after
    commas, as streaming,rate=0.05."""
    ips: Annotated[float, UNCOMPILED, OMITTED, Range(0.0)] = 0.0
    """Power of inverse propensity weights in training: the weight of a pair is
    (impressions of its item + 1)^-ips, divided by the mean weight; needs a column
    impressions in the table of items."""
    mask_same_item: bool = False
    """Whether a negative column holding the row's own positive is masked."""
    mask_user_positives: bool = False
    """Whether negatives among the user's other positives of the training part are
    masked."""


@dataclass(frozen=True)
class LossFields(Group):
    """Which loss."""

    loss: Annotated[str, Named("research.losses:LOSSES")] = "sampled-softmax"
    """Loss that trains the towers, with its own values after commas, as
    hinge,margin=0.5. Of what the loss learns, such as a bias, they are the start."""


@dataclass(frozen=True)
class TemperatureFields(Group):
    """What divides the score."""

    temperature: Annotated[float, SWEPT, _ABOVE_0] = 0.2
    """Divides the score; where it changes in training, its initial value."""
    temperature_kind: Annotated[str, Named("research.temperature:TEMPERATURES")] = (
        "fixed"
    )
    """Kind of temperature, with its values after commas."""


@dataclass(frozen=True)
class TrainFields(Group):
    """How long and how fast the parameters move."""

    batch: Annotated[int, _AT_LEAST_1] = 512
    """Rows of a batch."""
    batch_order: Annotated[str, UNCOMPILED, Named("research.batches:ORDERS")] = (
        "shuffled"
    )
    """Order of the pairs in an epoch: shuffled, or time (window after window, of so
    many days, shuffled within each; the item feature dynamic needs it)."""
    epochs: Annotated[int, UNCOMPILED, Range(1, 10**6)] = 40
    """Passes over the pairs of the training part."""
    optimiser: Annotated[str, Named("research.train.optimisers:OPTIMISERS")] = "adamw"
    """Optimiser of all parameters."""
    learning_rate: Annotated[float, SWEPT, _ABOVE_0] = 3e-3
    """Step size of the optimiser."""
    rate_end: Annotated[float, OMITTED, Range(0.0, 1.0)] = 1.0
    """Step size at the last step, as a share of learning_rate; a cosine leads to it."""
    table_rate: Annotated[float, SWEPT, _ABOVE_0] = 30.0
    """Step size of the embedding tables, as a multiple of learning_rate."""
    weight_decay: Annotated[float, SWEPT, _AT_LEAST_0] = 1e-5
    """Weight decay: decoupled, or with adam-l2 an L2 term of the gradient; in tables
    only of the rows that a step touched, but with adamw and adam-l2 of all."""
    evaluate_every: Annotated[int, UNCOMPILED, _AT_LEAST_0] = 0
    """Epochs between validations when fitting on train (0: at the end only). The epoch
    with the best NDCG@20 is served, judged by lists without exposure and min_clicks."""
    evaluate_prior: Annotated[
        str, UNCOMPILED, OMITTED, Choice("none", "calibrated", "best")
    ] = "none"
    """Popularity prior of the lists that evaluate_every judges by: none; calibrated,
    the one that the validation clicks give after that epoch (none if they fit none); or
    best, the one of highest NDCG@20 among a few."""
    patience: Annotated[int, UNCOMPILED, OMITTED, _AT_LEAST_0] = 0
    """Validations in a row without a better one that end training (0: none does)."""
    seed: Annotated[int, UNCOMPILED, SEED] = 0
    """Seed of initial values, batch order, negatives and dropout."""


@dataclass(frozen=True)
class ServingFields(Group):
    """What is added when serving, after training."""

    prior: Annotated[float, SERVING] = 0.0
    """Popularity prior when serving, alpha: lists are ranked by score / temperature
    + alpha * log q."""
    exposure: Annotated[float, SERVING] = 0.0
    """Exposure taken out when serving, beta: - beta * log(impressions + 1) is added;
    needs a column impressions in the table of items. With 1, and 1 for the prior, a
    model trained without log q is served by clicks per impression."""
    min_clicks: Annotated[int, SERVING, Range(0)] = 0
    """Items with fewer training clicks are left out of every list; 1 leaves out those
    without a click, which no in-batch loss trains."""
