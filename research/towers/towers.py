"""The two towers and the history encoders: Flax modules of one side's input.

Each is a Flax module of ``UserInput -> [b, e]``, of the user's side alone: none can see
a candidate, and attention by the candidate, which would join the towers, has no place
in the registry. An empty history is encoded as zeros by all of them (the words of a
search stand beside it), with a gradient of zero. Rows come latest first, l of them;
keep says which are there.

Attention is a_t = softmax_t(<q, W_k h_t> / sqrt(d)) over the rows that are there, and
gives sum_t a_t h_t. There is no W_v, as the user tower's first layer follows directly
and can absorb it.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from research.rng import stream
from research.towers.inputs import ItemInput, UserInput, pooled, profile

SHORT = 5  # rows of the short-term interest: a MovieLens user has one session only
HEADS = 4  # as [lv2019sdm] has
BLOCKS = 2  # [kang2018]
POSITION_SCALE = 0.05  # that of the rows which positions are added to
ABSENT = -1e9  # a logit whose softmax is 0, and finite where all are absent


def attend(
    query: Float[Array, "b d"], keys: Float[Array, "b l d"], keep: Bool[Array, "b l"]
) -> Float[Array, "b l"]:
    """Weights over the rows that are there; all 0 where none is.

    >>> attend(jnp.ones((1, 1)), jnp.zeros((1, 2, 1)), jnp.array([[True, True]]))[0, 0]
    Array(0.5, dtype=float32)
    """
    score = jnp.einsum("bd,bld->bl", query, keys) / math.sqrt(query.shape[1])
    weight = jax.nn.softmax(jnp.where(keep, score, ABSENT), axis=1)
    return jnp.where(keep, weight, 0.0)


class Mean(nn.Module):
    """Mean of the rows that are there [covington2016]."""

    @nn.compact
    def __call__(self, user: UserInput) -> Float[Array, "b d"]:
        """Returns one row per query."""
        weight = user.keep.astype(user.history.dtype)
        total = pooled(weight, user.history)
        return total / jnp.maximum(weight.sum(axis=1, keepdims=True), 1.0)


class Profile(nn.Module):
    """Short- and long-term interest by the user's profile, and a gate [lv2019sdm].

    q = tanh(W e); s attends over the last 5 rows, p over all, each with keys of its
    own; g = sigmoid(W [s; p; e]); g * s + (1 - g) * p. Differs from the paper: no LSTM
    and no multi-head layer beneath the short-term attention; the long-term one is over
    items, and not over their shops, brands and categories.
    """

    @nn.compact
    def __call__(self, user: UserInput) -> Float[Array, "b d"]:
        """Returns one row per query."""
        d = user.history.shape[2]
        known = profile(user)
        query = jnp.tanh(nn.Dense(d, name="query")(known))
        recent, there = user.history[:, :SHORT], user.keep[:, :SHORT]
        keys = nn.Dense(d, use_bias=False, name="short")(recent)
        short = pooled(attend(query, keys, there), recent)
        keys = nn.Dense(d, use_bias=False, name="long")(user.history)
        long = pooled(attend(query, keys, user.keep), user.history)
        given = jnp.concatenate([short, long, known], axis=1)
        gate = nn.sigmoid(nn.Dense(d, name="gate")(given))
        return gate * short + (1.0 - gate) * long


class LastClick(nn.Module):
    """The last click, beside what it attends to in the history before it.

    [h_1; sum_t a_t h_t], a_t = softmax_t(<W_q h_1, W_k h_t> / sqrt(d)) over t > 1: the
    part of CDR [chen2021] that keeps the towers apart (its alpha = 1). Differs from the
    paper: the last click isn't among what is attended to, and is kept as it is; no
    prototypes of intention, no negative feedback.
    """

    @nn.compact
    def __call__(self, user: UserInput) -> Float[Array, "b e"]:
        """Returns one row per query, of twice the width."""
        d = user.history.shape[2]
        last = jnp.where(user.keep[:, :1], user.history[:, 0], 0.0)
        earlier = user.history[:, 1:]
        query = nn.Dense(d, use_bias=False, name="query")(last)
        keys = nn.Dense(d, use_bias=False, name="key")(earlier)
        weight = attend(query, keys, user.keep[:, 1:])
        return jnp.concatenate([last, pooled(weight, earlier)], axis=1)


class Learned(nn.Module):
    """Attention by one learned query, the same for all users [yang2016]."""

    @nn.compact
    def __call__(self, user: UserInput) -> Float[Array, "b d"]:
        """Returns one row per query."""
        b, _, d = user.history.shape
        query = self.param("query", nn.initializers.normal(1.0), (d,))
        keys = nn.Dense(d, use_bias=False, name="key")(user.history)
        wide = jnp.broadcast_to(query, (b, d))
        return pooled(attend(wide, keys, user.keep), user.history)


class SelfAttention(nn.Module):
    """Causal self-attention with positions, read out at the last click [kang2018].

    Two blocks of attention in 4 heads and a feed-forward layer, each normalised first
    and added to what goes in. A row attends to itself and to what is older. Differs
    from the paper: no dropout inside, and only the last position is trained on.
    """

    @nn.compact
    def __call__(self, user: UserInput) -> Float[Array, "b d"]:
        """Returns one row per query."""
        _, length, d = user.history.shape
        scale = nn.initializers.normal(POSITION_SCALE)
        x = user.history + self.param("position", scale, (1, length, d))
        # Rows are latest first, so what is older stands behind.
        older = jnp.triu(jnp.ones((length, length), bool))[None]
        for n in range(BLOCKS):
            # The last block is read at one position, so only that one is computed.
            rows = length if n < BLOCKS - 1 else 1
            mask = (older[:, :rows] & user.keep[:, None, :])[:, None]
            normal = nn.LayerNorm()(x)
            heads = nn.MultiHeadDotProductAttention(HEADS if d % HEADS == 0 else 1)
            x = x[:, :rows] + heads(normal[:, :rows], normal, normal, mask=mask)
            wide = nn.relu(nn.Dense(d)(nn.LayerNorm()(x)))
            x = x + nn.Dense(d)(wide)
        return jnp.where(user.keep[:, :1], x[:, 0], 0.0)


class Query(nn.Module):
    """The words of a search, beside what they attend to in the history.

    [w; sum_t a_t h_t], w the mean of the words that are there, a_t = softmax_t(<W_q w,
    W_k h_t> / sqrt(d)). Without a word w is zeros and the history is averaged. It is
    what last-click does, with a search in place of the click.
    """

    @nn.compact
    def __call__(self, user: UserInput) -> Float[Array, "b e"]:
        """Returns one row per query, of twice the width."""
        assert user.words is not None  # a config without a search is refused
        d = user.history.shape[2]
        there = user.words.there.astype(user.history.dtype)
        total = pooled(there, user.words.rows)
        asked = total / jnp.maximum(there.sum(axis=1, keepdims=True), 1.0)
        query = nn.Dense(d, use_bias=False, name="query")(asked)
        keys = nn.Dense(d, use_bias=False, name="key")(user.history)
        found = pooled(attend(query, keys, user.keep), user.history)
        return jnp.concatenate([asked, found], axis=1)


def shorten(vectors: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Rows longer than 1 at length 1, the others as they are.

    >>> long, short = shorten(jnp.array([[3.0, 4.0], [0.3, 0.4]]))
    >>> [round(float(x), 4) for x in long], [round(float(x), 4) for x in short]
    ([0.6, 0.8], [0.3, 0.4])
    """
    square = jnp.sum(vectors * vectors, axis=1, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(square, 1.0))


def normalise(vectors: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Rows of length 1; a zero row stays zero, with a finite gradient.

    >>> one, none = normalise(jnp.array([[3.0, 4.0], [0.0, 0.0]]))
    >>> [round(float(x), 4) for x in one], none.tolist()
    ([0.6, 0.8], [0.0, 0.0])
    """
    square = jnp.sum(vectors * vectors, axis=1, keepdims=True)
    there = square > 1e-12
    # The inner where keeps the square root away from zero in the backward pass too.
    return vectors * jnp.where(there, jax.lax.rsqrt(jnp.where(there, square, 1.0)), 1.0)


# What each output makes of a tower's vectors.
OUTPUTS: dict[str, Callable[[Float[Array, "n d"]], Float[Array, "n d"]]] = {
    "cosine": normalise,
    "dot": lambda vectors: vectors,
    "bounded": shorten,
}


class MLP(nn.Module):
    """Hidden layers with ReLU, then a linear layer to dim."""

    hidden: tuple[int, ...]
    dim: int

    @nn.compact
    def __call__(self, x: Float[Array, "n _"]) -> Float[Array, "n d"]:
        """Applies the layers."""
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.dim)(x)


class Residual(nn.Module):
    """A linear map plus hidden layers with ReLU, whose last layer starts at zero.

    So training begins with a linear tower, and the hidden layers add what it lacks.
    """

    hidden: tuple[int, ...]
    dim: int

    @nn.compact
    def __call__(self, x: Float[Array, "n _"]) -> Float[Array, "n d"]:
        """Applies both branches."""
        linear = nn.Dense(self.dim, name="linear")(x)
        if not self.hidden:
            return linear
        for n, width in enumerate(self.hidden):
            x = nn.relu(nn.Dense(width, name=f"hidden_{n}")(x))
        zeros = nn.initializers.zeros
        return linear + nn.Dense(self.dim, kernel_init=zeros, name="last")(x)


# By the field layers: the net of a tower's features, None for a tower without one.
NETS: dict[str, Callable[[tuple[int, ...], int], Any] | None] = {
    "mlp": MLP,
    "added": Residual,
    "residual": Residual,
    "none": None,
    "bias": None,
}


OWN_ROW = ("added", "residual")  # layers that add the user's own row to the net's


def _added(
    own: Float[Array, "n d"] | None, net: Any, x: Float[Array, "n _"]
) -> Float[Array, "n d"]:
    """The net of what a tower reads plus the id's own row; that alone if x is empty."""
    if own is None:
        vectors: Float[Array, "n d"] = net(x)
        return vectors
    return own + net(x) if x.shape[1] else own


class Rates(NamedTuple):
    """Rates of dropout: of the user tower's input, and of whole clicks of a history."""

    inputs: Float[Array, ""] | float = 0.0
    clicks: Float[Array, ""] | float = 0.0


def kept(
    key: jax.Array, shape: tuple[int, ...], rate: Float[Array, ""] | float
) -> Bool[Array, "..."]:
    """What dropout keeps: 16 random bits are enough for a rate, half the work of 32."""
    bits = jax.random.bits(key, shape, jnp.uint16).astype(jnp.float32)
    return bits >= rate * 65536.0


class UserTower(nn.Module):
    """Encoded history, code rows and dense features, through dropout and a net.

    With layers "added" and "residual" the user's own row, where it is a feature, is
    added to the net, which reads it only if "residual". Without layers the input itself
    is the vector, and must be the user's own row. With item biases (``layers`` "bias")
    its last number is 1, so that the last number of an item's vector is its bias.
    ``drops_clicks`` leaves whole clicks out of the history in training, but the latest
    where the encoder goes by the order (``ordered``).
    """

    encoder: Callable[[], Any] | None
    hidden: tuple[int, ...]
    dim: int
    output: str
    layers: str = "mlp"
    drops_clicks: bool = False
    ordered: bool = False

    @nn.compact
    def __call__(
        self, user: UserInput, rates: Rates, key: jax.Array | None
    ) -> Float[Array, "b d"]:
        """User vectors; without dropout where key is None, as when serving.

        Rates of dropout are an argument, so that a sweep over them compiles once.
        """
        if key is not None and self.drops_clicks:
            there = kept(stream(key, "clicks"), user.keep.shape, rates.clicks)
            if self.ordered:
                there = there.at[:, 0].set(True)
            user = user._replace(keep=user.keep & there)
        own = user.rows.get("user") if self.layers in OWN_ROW else None
        x = profile(user if self.layers != "added" else user.without("user"))
        if self.encoder is not None:
            x = jnp.concatenate([self.encoder()(user), x], axis=1)
        if key is not None:
            left = kept(key, x.shape, rates.inputs)
            x = jnp.where(left, x / (1.0 - rates.inputs), 0.0)
        if (net := NETS[self.layers]) is not None:
            x = _added(own, net(self.hidden, self.dim), x)
        if self.layers == "bias":
            x = x.at[:, -1].set(1.0)
        return OUTPUTS[self.output](x)


class ItemTower(nn.Module):
    """The item's own row plus a net of all its code rows and dense features.

    With layers "added" the net doesn't read that row; without any the vector is it.
    """

    hidden: tuple[int, ...]
    dim: int
    output: str
    layers: str = "mlp"

    @nn.compact
    def __call__(self, item: ItemInput) -> Float[Array, "c d"]:
        """Item vectors."""
        if (net := NETS[self.layers]) is None:
            return OUTPUTS[self.output](item.rows["item"])
        own, rows = item.rows.get("item"), dict(item.rows)
        if self.layers == "added":
            rows.pop("item", None)
        parts = [rows[name] for name in sorted(rows)] + [item.dense]
        x = jnp.concatenate(parts, axis=1)
        return OUTPUTS[self.output](_added(own, net(self.hidden, self.dim), x))
