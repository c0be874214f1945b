"""Switches of the correction: what each is, what cancels, and what is refused."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Config, with_values
from research.logits.reducers import Dense
from research.losses import LOSSES
from research.negatives import Size
from research.negatives.checks import check_negatives
from research.prepare import check_config
from research.train.loop import compiled_epoch, train
from research.types import InputError
from tests.negatives.small import CLICKED, logits_of, pool_of
from tests.train.test_loop import SMALL, compilations
from tests.world import made_fold

SHARE = CLICKED / CLICKED.sum()
CANDIDATE = [0, 5, 3, 5, 0]
DRAW = np.random.default_rng(0)
QUERY = DRAW.normal(size=(5, 3)).astype(np.float32)
ITEMS = DRAW.normal(size=(6, 3)).astype(np.float32)
TAU = 0.7
SIZE = Size(items=1000, clicked=900, pairs=40_000)


def config_of(**changes) -> Config:
    return Config(batch=5, dim=3, logq=1.0, temperature=TAU, **changes)


def in_batch_logits(config: Config) -> tuple[jnp.ndarray, Dense]:
    ids = (np.array(CANDIDATE),)
    return logits_of(config, QUERY, ITEMS, CANDIDATE, ids, pool_of(CLICKED))


def test_inclusion_by_loops():
    """Each row sees each item once, at score / tau - log(1 - (1 - q)^4)."""
    config = config_of(duplicates="inclusion")
    own, dense = in_batch_logits(config)
    inside = 1 - (1 - SHARE) ** 4
    for row, mine in enumerate(CANDIDATE):
        others = {CANDIDATE[c] for c in range(5) if c != row}
        score = ITEMS @ QUERY[row] / TAU
        np.testing.assert_allclose(
            own[row], score[mine] - np.log(inside[mine]), rtol=2e-5
        )
        expected = sorted(score[j] - np.log(inside[j]) for j in others)
        found = sorted(np.asarray(dense.z[row])[np.asarray(dense.keep[row])])
        np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_inclusion_with_the_same_item_masked_leaves_the_others_alone():
    config = config_of(duplicates="inclusion", mask_same_item=True)
    _, dense = in_batch_logits(config)
    others = [len(set(CANDIDATE) - {mine}) for mine in CANDIDATE]
    assert dense.count().tolist() == others


def gradients(loss: str, config: Config, weight: float = 1.0) -> np.ndarray:
    """Of the total loss with respect to the items' vectors."""

    def total(items):
        own, dense = logits_of(
            config, QUERY, items, CANDIDATE, (np.array(CANDIDATE),), pool_of(CLICKED)
        )
        return jnp.sum(LOSSES[loss].fn(own, dense, {}))

    return np.asarray(jax.grad(total)(jnp.asarray(ITEMS)))


SWITCHES = list(itertools.product((False, True), repeat=2))


def test_where_the_positive_is_not_corrected_all_four_differ():
    found = [
        gradients(
            "sampled-softmax",
            config_of(correct_positive=False, leave_own_out=own, expected_count=count),
        )
        for own, count in SWITCHES
    ]
    for one, other in itertools.combinations(found, 2):
        assert np.abs(one - other).max() > 1e-3


def test_the_weighted_loss_has_the_gradient_of_its_switches():
    """The form of 2025 is softmax with the positive uncorrected, Q / (1 - Q), 1 / n."""
    config = config_of(
        correct_positive=False,
        leave_own_out=True,
        expected_count=True,
        mask_same_item=True,
    )
    weighted = gradients("weighted-softmax", config)
    np.testing.assert_allclose(
        weighted, gradients("sampled-softmax", config), rtol=1e-4, atol=1e-6
    )
    other = gradients("sampled-softmax", config_of(mask_same_item=True))
    assert np.abs(weighted - other).max() > 1e-3


def test_one_compilation_over_everything_that_is_swept():
    config = dataclasses.replace(
        SMALL,
        negatives=("in-batch", "extra:16", "fifo-cache:64"),
        frequency="streaming",
        epochs=1,
    )
    fold = made_fold()
    train(config, fold)  # all that surrounds the epoch compiles here
    compiled_epoch.cache_clear()
    swept = {"extra.alpha": 0.0, "extra.mix": 0.0}
    late = {"extra.alpha": 2.0, "extra.mix": 0.5, "fifo-cache.warmup": 8}
    late |= {"streaming.rate": 0.05}
    with compilations() as seen:
        for changes, logq in (({}, 0.0), (swept, 0.0), (late, 0.5)):
            changed = dataclasses.replace(config, logq=logq, temperature=0.1 - logq / 9)
            done = train(with_values(changed, changes), fold)
            assert np.isfinite(done.history[-1]["loss"])
    assert sum("epoch" in name for name in seen) == 1, seen
    assert len(seen) == 1, seen


def checked(config):
    check_config(config)
    check_negatives(config, SIZE)


IN_BATCH_AND_LATE = {"negatives": ("in-batch", "fifo-cache:512,warmup=9999")}
ONE_UNION = {"negatives": ("fifo-cache-stored:512",) * 2, "logq": 1.0}
MIXED = {"negatives": ("uniform:8", "fifo-cache-stored:512"), "logq": 1.0}
BY_ROW = {"duplicates": "inclusion", "negatives": ("uniform-per-row:4",)}
REFUSED = (
    ({"negatives": ("fifo-cache:511",)}, r"smaller than a batch \(512\)"),
    ({"negatives": ("vector-cache:901",)}, "more than it can hold"),
    ({"negatives": ("fifo-cache:900000",)}, "never full"),
    (IN_BATCH_AND_LATE, "draws nothing"),
    ({"negatives": ("in-batch",), "batch": 1}, "draws none"),
    ({"negatives": ("in-batch-part:512",)}, "a row has only 511 others"),
    (MIXED, "form a mixture"),
    (ONE_UNION, "in a union with itself"),
    ({"duplicates": "inclusion", "expected_count": True}, "counts draws already"),
    ({"duplicates": "inclusion", "leave_own_out": True}, "counts draws already"),
    (BY_ROW, "differ by row"),
    ({"frequency": "streaming,hashes=9,buckets=8"}, "need one each"),
    ({"negatives": ("rank-band:4,low=9,high=8",)}, "high is 8"),
    ({"negatives": ("popularity:4,alpha=0", "popularity:4")}, "popularity twice"),
)


@pytest.mark.parametrize(("changes", "line"), REFUSED)
def test_what_can_not_be_meant_is_refused_in_one_line(changes, line):
    with pytest.raises(InputError, match=line) as error:
        checked(Config(**changes))
    assert "\n" not in str(error.value)
