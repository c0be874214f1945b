"""Each loss against its formula in math, its gradient, its limits, its bad input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.logits.reducers import Dense
from research.losses import LOSSES
from research.losses.context import Context
from research.losses.lambdas import ranks
from research.losses.pairwise import _arctan
from research.losses.top_k import Thresholds

TEMPERATURE, ITEMS = 0.5, 20.0
Z = [[0.5, -1.0, 9.0], [2.0, 0.25, -0.5]]
KEEP = [[True, True, False], [True, True, True]]
POSITIVE = [0.3, 1.5]
USERS, FILMS = [[1.0, 0.0], [0.6, 0.8]], [[0.8, 0.6], [0.0, 1.0]]
# Among these the logits have the ranks of RANK; 5.0 and -3.0 are of no row.
CATALOGUE = [0.5, -1.0, 9.0, 2.0, 0.25, -0.5, 0.3, 1.5, 5.0, -3.0]
RANK = {9.0: 1, 2.0: 3, 1.5: 4, 0.5: 5, 0.3: 6, 0.25: 7, -0.5: 8, -1.0: 9}
THRESHOLDS, HARDNESS = [0.5, 1.1], [[0.2, -0.4, 0.9], [0.0, 0.6, -0.1]]
ROWS = [(p, [z for z, k in zip(*row) if k]) for p, row in zip(POSITIVE, zip(Z, KEEP))]


def hyper_of(name, **changes):
    """What reaches a loss in training, at its defaults."""
    entry = LOSSES[name]
    values = {n: default for n, (default, _) in entry.hyper.items()}
    values |= entry.trainable | {"temperature": TEMPERATURE, "items": ITEMS} | changes
    return {n: jnp.asarray(v, dtype=float) for n, v in values.items()}


def losses_of(name, positive=POSITIVE, z=Z, keep=KEEP, length=1.0, **changes):
    pair = length * jnp.array(USERS), length * jnp.array(FILMS)
    negatives = Dense(jnp.asarray(z), jnp.array(keep))
    catalogue = jnp.broadcast_to(jnp.array(CATALOGUE), (2, len(CATALOGUE)))
    state = Thresholds(jnp.array(THRESHOLDS), jnp.zeros((2, 0), jnp.int32))
    hardness = Dense(jnp.array(changes.pop("hardness_of", HARDNESS)), negatives.keep)
    context = Context(*pair, catalogue, state, hardness)
    hyper = hyper_of(name, **changes)
    return LOSSES[name](jnp.asarray(positive), negatives, hyper, context)


def softplus(x):
    return math.log1p(math.exp(x))


def debiased(p, total, n, share=0.1):
    left = (total - n * share * math.exp(p)) / (1 - share)
    least = n * math.exp(p - 2 / TEMPERATURE)
    return math.log(math.exp(p) + max(left, least)) - p


def harder(p, zs, hardness=1.0):
    weights = [math.exp(hardness * z) for z in zs]
    mean = sum(weights) / len(zs)
    return sum(w / mean * math.exp(z) for w, z in zip(weights, zs))


def log_sum(zs):
    return math.log(sum(math.exp(z) for z in zs))


def weighted(p, zs):
    share = math.exp(p) / (math.exp(p) + math.exp(log_sum(zs)))
    return (1 - share) * (log_sum(zs) - p)


def gbce(p, zs, calibration=0.75, bias=0.0):
    beta = 1 - calibration * (1 - len(zs) / (ITEMS - 1))
    terms = sum(softplus(z + bias) for z in zs)
    return (beta * softplus(-p - bias) + terms) / (len(zs) + 1)


def ccl(p, zs):
    return 1 - p + 10 * sum(max(0.0, z - 0.9) for z in zs) / len(zs)


def psl(activation):
    """Powers of the activation of half the difference of scores."""

    def by_hand(p, zs):
        half = [(z - p) * TEMPERATURE / 2 for z in zs]
        return math.log(sum(activation(x) ** (1 / TEMPERATURE) for x in half))

    return by_hand


def lambdas(weight):
    """softplus(z - p) weighted by both ranks."""

    def by_hand(p, zs):
        terms = [weight(RANK[p], RANK[z]) * softplus(z - p) for z in zs]
        return sum(terms) / len(zs)

    return by_hand


def apart(own, other):
    return 1 / math.log2(1 + abs(own - other))


def dcg(own, other):
    return abs(1 / math.log2(1 + own) - 1 / math.log2(1 + other))


def at_six(own, other):
    lower = max(own, other)
    return apart(own, other) * (lower / (lower - 1) if lower > 6 else 1)


def at_k(p, zs):
    """Both pairs have score 0.8: see USERS and FILMS."""
    threshold = dict(zip(POSITIVE, THRESHOLDS))[p]
    return (log_sum(zs) - p) / (1 + math.exp(-(0.8 - threshold)))


def adversarial(p, zs):
    hardness = dict(zip(POSITIVE, HARDNESS))[p][: len(zs)]
    total = sum(math.exp(g) for g in hardness)
    terms = [math.exp(g) / total * math.exp(z) for g, z in zip(hardness, zs)]
    return math.log(math.exp(p) + 64 * len(zs) * sum(terms)) - p


# Where the values that LLPAUC learns start.
CORNER = {"a": 1.0, "b": 0.0, "s_positive": 0.5, "s_negative": 0.5}
CORNER |= {"gamma": 0.0, "slack_a": 0.5, "slack_b": 0.5}
MOVED = {"a": 0.8, "b": 0.1, "s_positive": 0.4, "s_negative": 0.6}
MOVED |= {"gamma": 0.2, "slack_a": 0.5, "slack_b": -0.3}


def llpauc(p, zs, tpr=0.7, fpr=0.1, learned=CORNER):
    a, b, plus, minus, gamma, slack_a, slack_b = learned.values()

    def sigma(x):
        return 1 / (1 + math.exp(-x))

    def soft(x):
        return softplus(5 * x) / 5

    own = -((sigma(p) - a) ** 2) + 2 * (1 + gamma) * sigma(p) - plus
    others = [(sigma(z) - b) ** 2 + 2 * (1 + gamma) * sigma(z) - minus for z in zs]
    value = minus - plus - soft(own) / tpr - gamma**2
    value += sum(map(soft, others)) / len(zs) / fpr
    return value + slack_a * (a + gamma) + slack_b * (gamma + 1 - b)


HAND = {
    "sampled-softmax": lambda p, zs: math.log(math.exp(p) + math.exp(log_sum(zs))) - p,
    "decoupled-softmax": lambda p, zs: log_sum(zs) - p,
    "weighted-softmax": weighted,
    "debiased": lambda p, zs: debiased(p, math.exp(log_sum(zs)), len(zs)),
    "hard-negative": lambda p, zs: debiased(p, harder(p, zs), len(zs)),
    "bilateral-softmax": lambda p, zs: 1.06 * log_sum(zs) - p,
    "bpr": lambda p, zs: sum(softplus(z - p) for z in zs) / len(zs),
    "hinge": lambda p, zs: sum(max(0.0, 1 + z - p) for z in zs) / len(zs),
    "psl-tanh": psl(lambda x: 1 + math.tanh(x)),
    "psl-atan": psl(lambda x: 1 + math.atan(x)),
    "psl-relu": psl(lambda x: max(0.0, 1 + x)),
    "cosine-contrastive": ccl,
    "sigmoid": lambda p, zs: softplus(-p) + sum(map(softplus, zs)) / len(zs),
    "binary-nce": lambda p, zs: softplus(-p) + sum(map(softplus, zs)),
    "gbce": gbce,
    "lambda-rank": lambdas(dcg),
    "lambda-loss": lambdas(apart),
    "lambda-loss-at-k": lambdas(at_six),
    "sl-at-k": at_k,
    "adv-info-nce": adversarial,
    "llpauc": llpauc,
    "siglip": lambda p, zs: softplus(10 - p) + sum(softplus(z - 10) for z in zs),
    # One pair of users at squared distance .8, one of films at .8, pairs at .4 and .4.
    "align-uniform": lambda p, zs: 0.4 - 2 * 0.8,
}
# Of values that aren't the defaults: what is changed, and the loss by hand.
CHANGED = {
    "gbce": ({"calibration": 0.9, "bias": 0.2}, lambda *row: gbce(*row, 0.9, 0.2)),
    "llpauc": (
        MOVED | {"tpr": 0.6, "fpr": 0.05},
        lambda *row: llpauc(*row, 0.6, 0.05, MOVED),
    ),
    # Vectors of another length have the same directions.
    "align-uniform": (
        {"uniformity": 0.7, "length": 3.0},
        lambda *row: 0.4 - 0.7 * 2 * 0.8,
    ),
}


def test_the_losses_of_the_repository_have_a_value_by_hand():
    """One that is added may do without: all other tests cover it."""
    assert len(HAND) >= 23
    assert LOSSES.keys() >= HAND.keys()


@pytest.mark.parametrize("name", sorted(HAND))
def test_value_by_hand(name):
    changes = {"cutoff": 6.0} if name == "lambda-loss-at-k" else {}
    expected = [HAND[name](p, zs) for p, zs in ROWS]
    np.testing.assert_allclose(losses_of(name, **changes), expected, rtol=2e-6)


@pytest.mark.parametrize("name", CHANGED)
def test_value_by_hand_of_other_settings(name):
    changes, by_hand = CHANGED[name]
    expected = [by_hand(p, zs) for p, zs in ROWS]
    np.testing.assert_allclose(losses_of(name, **changes), expected, rtol=5e-6)


@pytest.mark.parametrize("name", ["lambda-loss", "lambda-loss-at-k"])
def test_scores_that_tie_count_as_one_rank_apart(name):
    """Whose inverse discount is 1; that of no distance would be infinite."""
    tied, keep = [row[0] for row in Z], [[True, False, False]] * 2
    found = losses_of(name, positive=tied, keep=keep, cutoff=6.0)
    np.testing.assert_allclose(found, math.log(2), rtol=1e-5)


def test_ranks_are_counted_without_an_array_of_all_comparisons():
    rows, columns, items = 64, 64, 4096
    shapes = [jax.ShapeDtypeStruct((rows, n), np.float32) for n in (columns, items)]
    used = jax.jit(ranks).lower(*shapes).compile().memory_analysis()
    assert used.temp_size_in_bytes < rows * columns * items / 4  # bytes


def test_more_draws_than_items_are_as_all_items():
    """gBCE is then the plain cross-entropy, at any calibration."""
    found = losses_of("gbce", keep=[[True] * 3] * 2, items=3.0)
    rows = zip(POSITIVE, Z)
    plain = [(softplus(-p) + sum(map(softplus, zs))) / 4 for p, zs in rows]
    np.testing.assert_allclose(found, plain, rtol=2e-6)


def test_the_floor_of_the_debiased_holds_where_false_negatives_are_all():
    (value, _) = losses_of("debiased", positive=[5.0, 0.0], positive_share=0.5)
    assert math.isclose(value, math.log1p(2 * math.exp(-4)), rel_tol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_against_finite_differences_in_64_bit(name):
    trainable = LOSSES[name].trainable
    with jax.enable_x64(True):
        start = [jnp.array(POSITIVE), jnp.array(Z), jnp.array(list(trainable.values()))]

        def total(positive, z, learned):
            values = losses_of(name, positive, z, **dict(zip(trainable, learned)))
            return jnp.sum(jnp.array([1.0, 2.0]) * values)

        if name == "weighted-softmax":  # its weight is detached: so must the check be
            keep = jnp.array(KEEP)
            weight = jax.nn.sigmoid(Dense(start[1], keep).logsumexp() - start[0])

            def plain(positive, z, learned):
                odds = Dense(z, keep).logsumexp() - positive
                return jnp.sum(jnp.array([1.0, 2.0]) * weight * odds)
        else:
            plain = total
        found = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(*start)
        plain = jax.jit(plain)
        step = 1e-6
        for n, value in enumerate(start):
            for at in np.ndindex(value.shape):
                ends = []
                for sign in (1.0, -1.0):
                    moved = list(start)
                    moved[n] = value.at[at].add(sign * step)
                    ends.append(float(plain(*moved)))
                slope = (ends[0] - ends[1]) / (2 * step)
                assert float(found[n][at]) == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "align-uniform"])
def test_a_row_without_a_negative_has_neither_loss_nor_gradient(name):
    keep = [[False] * 3, [True] * 3]

    def total(positive, z):
        values = losses_of(name, positive, z, keep)
        return jnp.sum(values), values

    of_both = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
    grads, value = of_both(jnp.array(POSITIVE), jnp.array(Z))
    assert value[0] == 0
    assert value[1] != 0
    assert float(grads[0][0]) == 0
    assert not grads[1][0].any()
    assert all(np.isfinite(grad).all() for grad in grads)


def test_arctan_and_its_slope_are_right_near_and_far():
    x = np.concatenate([np.linspace(-3, 3, 601), [-1e30, -40, 40, 1e30]])
    x = x.astype(np.float32)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(_arctan(jnp.array(x)), np.arctan(exact), atol=3e-7)
    slope = jax.vmap(jax.grad(_arctan))(jnp.array(x))
    np.testing.assert_allclose(slope, 1 / (1 + exact**2), atol=1e-5)


def test_special_cases_are_the_plain_loss():
    plain = losses_of("decoupled-softmax")
    np.testing.assert_allclose(losses_of("bilateral-softmax", power=1.0), plain, 1e-6)
    plain = losses_of("sampled-softmax")
    np.testing.assert_allclose(losses_of("debiased", positive_share=0.0), plain, 1e-6)
    off = {"positive_share": 0.0, "hardness": 0.0}
    np.testing.assert_allclose(losses_of("hard-negative", **off), plain, 1e-6)
    even = {"hardness_of": [[0.3] * 3] * 2, "negative_weight": 1.0}
    np.testing.assert_allclose(losses_of("adv-info-nce", **even), plain, 1e-6)
    plain = losses_of("binary-nce")
    np.testing.assert_allclose(losses_of("siglip", bias=0.0), plain, 1e-6)


def test_a_weight_without_a_gradient_has_the_value_and_pulls_no_score_down():
    """SL@K's weight sigma((score - threshold) / width): whole, half and stopped."""
    state = Thresholds(jnp.array(THRESHOLDS), jnp.zeros((2, 0), jnp.int32))
    negatives = Dense(jnp.array(Z), jnp.array(KEEP))

    def total(query, through):
        hyper = {"width": jnp.float32(0.7), "weight_gradient": jnp.float32(through)}
        about = Context(query, jnp.array(FILMS), state=state)
        loss = LOSSES["sl-at-k"](jnp.array(POSITIVE), negatives, hyper, about)
        return jnp.sum(loss)

    given = jnp.array(USERS)
    values = [jax.value_and_grad(total)(given, through) for through in (1, 0.5, 0)]
    (whole, full), (half, part), (none, stopped) = values
    assert whole == pytest.approx(float(half))
    assert whole == pytest.approx(float(none))
    weight = 1 / (1 + np.exp(-(0.8 - np.array(THRESHOLDS)) / 0.7))
    softmax = np.array([log_sum(zs) - p for p, zs in ROWS])
    slope = weight * (1 - weight) / 0.7 * softmax
    np.testing.assert_allclose(full, slope[:, None] * np.array(FILMS), rtol=1e-5)
    np.testing.assert_allclose(part, full / 2, rtol=1e-5)
    assert not np.asarray(stopped).any()
