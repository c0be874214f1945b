"""Placement of labels: near their points, over nothing, and repeatable.

Boxes are (left, bottom, right, top) in points. A label that is not right beside its
anchor is tied to it by a leader. This is geometry alone, without matplotlib.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

BESIDE = 8.0  # from an anchor to a label that needs no leader, in points
DISTANCES = (BESIDE, 14.0, 20.0, 28.0, 38.0, 50.0, 64.0, 80.0, 98.0, 120.0, 145.0)
# Right of a point reads best, then left, above, below, then the slants between.
ANGLES = np.deg2rad(
    [0, 180, 90, 270, *range(15, 90, 15), *range(165, 90, -15)]
    + [*range(-15, -90, -15), *range(195, 270, 15)]
)
CROSSING = 12.0  # a leader over another marker costs as much as one longer by this
ORDERS = 60  # more orders hardly shorten the leaders of twenty labels
GAP = 1.5  # between any two boxes, in points


class Spot(NamedTuple):
    """A label's box, and the leader from its anchor: x0, y0, x1, y1."""

    box: Float[ndarray, "4"]
    leader: Float[ndarray, "4"]


class Option(NamedTuple):
    """The spots one label may take, cheapest first: boxes, leaders, prices."""

    boxes: Float[ndarray, "q 4"]
    leaders: Float[ndarray, "q 4"]
    price: Float[ndarray, " q"]


def place(
    anchors: Float[ndarray, "n 2"],
    sizes: Float[ndarray, "n 2"],
    obstacles: Float[ndarray, "m 4"],
    frame: Float[ndarray, "4"],
    reach: float = 145.0,
    orders: int = ORDERS,
) -> list[Spot | None]:
    """A spot for each label within the frame, None where there is no room.

    A spot overlaps no obstacle and no other label, and its leader crosses no label and
    no other leader; it may cross obstacles at a price, since an anchor often stands in
    a crowd of them. Labels take their best free spot one after another; of several
    orders, the first and fixed shuffles of it, the one with the most labels and then
    the shortest leaders counts.

    >>> one = place(np.array([[50.0, 50.0]]), np.array([[20.0, 10.0]]),
    ...             np.zeros((0, 4)), np.array([0.0, 0, 100, 100]))
    >>> one[0].box.tolist()  # right of the point, at its height
    [58.0, 45.0, 78.0, 55.0]
    """
    options: list[Option] = []
    for anchor, size in zip(anchors, sizes, strict=True):
        boxes, leaders = _candidates(anchor, size, reach)
        inside = (boxes[:, :2] >= frame[:2]) & (boxes[:, 2:] <= frame[2:])
        free = inside.all(axis=1) & ~_overlap(boxes, obstacles).any(axis=1)
        others = obstacles[~_overlap(np.tile(anchor, 2)[None], obstacles)[0]]
        price = np.hypot(*(leaders[:, 2:] - leaders[:, :2]).T)
        price += CROSSING * _through(leaders, others).sum(axis=1)
        order = np.argsort(np.where(free, price, np.inf).round(6), kind="stable")
        order = order[: free.sum()]
        options.append(Option(boxes[order], leaders[order], price[order]))
    rng = np.random.default_rng(0)
    best: list[Spot | None] = [None] * len(options)
    least = (len(options) + 1, 0.0)
    for trial in range(orders):
        order = rng.permutation(len(options)) if trial else np.arange(len(options))
        spots, cost = _in_turn(options, order)
        if cost < least:
            best, least = spots, cost
    return best


def _in_turn(
    options: Sequence[Option], order: Int[ndarray, " n"]
) -> tuple[list[Spot | None], tuple[int, float]]:
    """The spots of one order; how many labels have none, and the price."""
    spots: list[Spot | None] = [None] * len(options)
    taken, lines, price = np.zeros((0, 4)), np.zeros((0, 4)), 0.0
    for n in order:
        boxes, leaders, prices = options[n]
        free = ~(
            _overlap(boxes, taken).any(axis=1)
            | _through(leaders, taken).any(axis=1)
            | _through(lines, boxes).any(axis=0)
            | _crossing(leaders, lines).any(axis=1)
        )
        if free.any():
            first = int(np.argmax(free))
            spots[n] = Spot(boxes[first], leaders[first])
            # squared: one long leader is worse than two short ones
            price += float(prices[first]) ** 2
            taken = np.vstack([taken, boxes[first]])
            lines = np.vstack([lines, leaders[first]])
    return spots, (spots.count(None), round(price, 3))


def _candidates(
    anchor: Float[ndarray, "2"], size: Float[ndarray, "2"], reach: float
) -> tuple[Float[ndarray, "q 4"], Float[ndarray, "q 4"]]:
    """Boxes around an anchor, nearest first, and the leaders to their edges."""
    towards = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).round(9)
    distances = np.array([d for d in DISTANCES if d <= reach])
    edge = anchor + distances[:, None, None] * towards
    # The leader ends on the side or corner of the box that faces the anchor.
    centre = edge + (towards / np.abs(towards).max(axis=1, keepdims=True)) * size / 2
    centre, edge = centre.reshape(-1, 2), edge.reshape(-1, 2)
    boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    start = np.broadcast_to(anchor, edge.shape)
    return boxes, np.concatenate([start, edge], axis=1)


def _overlap(
    a: Float[ndarray, "q 4"], b: Float[ndarray, "m 4"]
) -> Bool[ndarray, "q m"]:
    after = a[:, None, :2] >= b[None, :, 2:] + GAP
    before = a[:, None, 2:] + GAP <= b[None, :, :2]
    return np.asarray(~(after | before).any(axis=2))


def _through(
    lines: Float[ndarray, "l 4"], boxes: Float[ndarray, "m 4"]
) -> Bool[ndarray, "l m"]:
    """Which lines meet which boxes: a line is cut to each side in turn."""
    start, step = lines[:, None, :2], (lines[:, 2:] - lines[:, :2])[:, None, :]
    safe = np.where(np.abs(step) < 1e-9, 1e-9, step)
    near = (boxes[None, :, :2] - start) / safe
    far = (boxes[None, :, 2:] - start) / safe
    enter = np.minimum(near, far).max(axis=2)
    leave = np.maximum(near, far).min(axis=2)
    return np.asarray((enter < leave) & (enter < 1) & (leave > 0))


def _crossing(
    a: Float[ndarray, "l 4"], b: Float[ndarray, "m 4"]
) -> Bool[ndarray, "l m"]:
    """Which lines cross: each has the other's ends on its two sides."""
    p, q = a[:, None, :], b[None, :, :]
    split = _side(p, q[..., :2]) * _side(p, q[..., 2:])
    return (split < 0) & (_side(q, p[..., :2]) * _side(q, p[..., 2:]) < 0)


def _side(line: ndarray, point: ndarray) -> ndarray:
    """On which side of a line a point lies: -1 or 1; 0 on the line."""
    along, to = line[..., 2:] - line[..., :2], point - line[..., :2]
    return np.sign(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0])
