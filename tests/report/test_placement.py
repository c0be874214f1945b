"""Placement of labels, checked by plain geometry."""

import numpy as np
import pytest

from research.report.placement import BESIDE, place

FRAME = np.array([0.0, 0.0, 400.0, 300.0])


def markers(points, half=4.0):
    return np.concatenate([points - half, points + half], axis=1)


def apart(a, b):
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def meets(line, box):
    """Whether a line has a point inside a box, by looking at many of its points."""
    x, y = line[:2, None] + np.linspace(0, 1, 400) * (line[2:] - line[:2])[:, None]
    return np.any((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3]))


def cross(a, b):
    """Whether two lines cross: where, in parts of each, by solving for it."""
    along = np.stack([a[2:] - a[:2], b[:2] - b[2:]], axis=1)
    at = np.linalg.solve(along, b[:2] - a[:2]) if np.linalg.det(along) else [2]
    return all(0 < part < 1 for part in at)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_covers_anything(seed):
    rng = np.random.default_rng(seed)
    crowd = rng.normal([200, 150], 6, size=(7, 2))
    points = np.concatenate([crowd, rng.uniform([20, 20], [380, 280], size=(8, 2))])
    sizes = np.stack([rng.uniform(30, 110, 15), np.full(15, 12.0)], axis=1)
    obstacles = markers(points)
    spots = place(points, sizes, obstacles, FRAME, orders=10)
    labels = [spot for spot in spots if spot is not None]
    assert len(labels) >= 14
    for n, spot in enumerate(labels):
        assert (spot.box[:2] >= 0).all()
        assert (spot.box[2:] <= FRAME[2:]).all()
        assert all(apart(spot.box, obstacle) for obstacle in obstacles)
        for other in labels[:n]:
            assert apart(spot.box, other.box)
            assert not cross(spot.leader, other.leader)
        for other in labels:
            assert other is spot or not meets(other.leader, spot.box)


def test_labels_keep_their_size_and_their_anchor():
    points = np.array([[50.0, 50.0], [300.0, 200.0]])
    sizes = np.array([[40.0, 12.0], [60.0, 10.0]])
    for spot, point, size in zip(
        place(points, sizes, markers(points), FRAME), points, sizes
    ):
        np.testing.assert_allclose(spot.box[2:] - spot.box[:2], size)
        np.testing.assert_allclose(spot.leader[:2], point)
        np.testing.assert_allclose(spot.leader[2:], point + [BESIDE, 0])


def test_at_the_right_edge_a_label_goes_left():
    point = np.array([[395.0, 150.0]])
    spot = place(point, np.array([[50.0, 12.0]]), markers(point), FRAME)[0]
    assert spot.box[2] == 395 - BESIDE


def test_a_longer_leader_is_better_than_one_over_a_marker():
    point, low = np.array([[50.0, 10.0]]), np.array([0.0, 4.0, 200.0, 16.0])
    beside = np.array([[60.0, 8.0, 64.0, 12.0], [30.0, 13.0, 41.0, 15.0]])
    (left,) = place(point, np.array([[20.0, 12.0]]), beside, low)
    assert left.box.tolist() == [2, 4, 22, 16]  # 28 to the left, over nothing


def test_no_room_is_said_and_the_first_in_turn_has_precedence():
    tight = np.array([0.0, 0.0, 100.0, 20.0])  # one label fits on each side

    def placed(n):
        points, sizes = np.full((n, 2), [50.0, 10.0]), np.full((n, 2), [40.0, 12.0])
        return place(points, sizes, np.zeros((0, 4)), tight, orders=1)

    right, left = placed(2)
    assert (right.box[0], left.box[2]) == (50 + BESIDE, 50 - BESIDE)
    assert [spot is None for spot in placed(3)] == [False, False, True]


def test_more_orders_only_shorten():
    rng = np.random.default_rng(9)
    points = rng.normal([200, 150], 15, size=(12, 2))
    sizes = np.full((12, 2), [70.0, 12.0])

    def price(orders):
        spots = place(points, sizes, markers(points), FRAME, orders=orders)
        lines = np.array([spot.leader for spot in spots if spot is not None])
        lengths = np.hypot(*(lines[:, 2:] - lines[:, :2]).T)
        return spots.count(None), (lengths**2).sum()

    assert price(40) < price(1)


def test_nothing_to_place():
    assert place(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 4)), FRAME) == []
