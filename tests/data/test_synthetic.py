"""The synthetic data set: its laws by enumeration, its draws by chi-square."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from research.data.synthetic import (
    draw_clicks,
    large_fold,
    log_clicks,
    made_fold,
    make_synthetic,
    relevance,
)
from research.types import InputError, check


def test_a_click_is_relevance_times_exposure():
    """Written out for every user and item of a small world."""
    world = make_synthetic(5, 12, groups=3, quality=0.7, exposure=1.3, seed=2)
    for user in range(5):
        weight = []
        for item in range(12):
            group = int(np.searchsorted(world.starts, item, side="right")) - 1
            liking = float(world.users[user] @ world.groups[group])
            weight.append(np.exp(liking + world.quality[item] + world.exposure[item]))
        found = np.exp(log_clicks(world)[user])
        np.testing.assert_allclose(found, np.array(weight) / sum(weight), rtol=1e-5)
    gap = relevance(world) - log_clicks(world)
    expected = np.broadcast_to(-world.exposure, gap.shape)
    np.testing.assert_allclose(gap - gap[:, :1], expected - expected[:, :1], atol=1e-5)


@pytest.mark.parametrize(
    "draw",
    [
        lambda world: next(draw_clicks(world, 100_000, seed=3)),
        lambda world: large_fold(world, 300_000, seed=5).fitted.item.reshape(3, -1),
    ],
    ids=["draw_clicks", "large_fold"],
)
def test_clicks_agree_with_their_law(draw):
    """Chi-square of 100,000 clicks of each user; of another user it fails."""
    world = make_synthetic(3, 40, groups=7, quality=1.0, exposure=0.5, seed=1)
    clicks, p = draw(world), np.exp(log_clicks(world))
    for user in range(3):
        seen = np.bincount(clicks[user], minlength=40)
        assert stats.chisquare(seen, p[user] / p[user].sum() * 1e5).pvalue > 0.01
        other = p[(user + 1) % 3]
        assert stats.chisquare(seen, other / other.sum() * 1e5).pvalue < 1e-6


def test_popularity_is_zipf():
    world = make_synthetic(2, 1000, quality=0.8)
    slope = np.polyfit(np.log(np.arange(1, 1001)), np.sort(world.quality)[::-1], 1)[0]
    np.testing.assert_allclose(slope, -0.8, rtol=1e-6)
    assert (world.exposure == 0).all()


def test_the_orders_of_quality_and_exposure_are_as_correlated_as_asked():
    def correlation(asked):
        world = make_synthetic(
            2, 2000, quality=1.0, exposure=0.5, correlation=asked, seed=3
        )
        return np.corrcoef(world.quality, world.exposure)[0, 1]

    assert abs(correlation(0.0)) < 0.1
    assert correlation(0.7) == pytest.approx(0.7, abs=0.1)
    assert correlation(1.0) == pytest.approx(1.0)
    assert correlation(-0.7) < -0.4
    # the marginal law of exposure doesn't change
    world = make_synthetic(2, 50, groups=4, exposure=0.5, correlation=0.7)
    np.testing.assert_allclose(
        np.sort(world.exposure)[::-1], -0.5 * np.log(np.arange(1, 51))
    )
    with pytest.raises(InputError, match="correlation is 2"):
        make_synthetic(2, 50, groups=4, correlation=2.0)


def test_a_fold_holds_each_user_s_last_click():
    world = make_synthetic(6, 30, groups=4)
    fold = made_fold(world, each=9, seed=4)
    (clicks,) = draw_clicks(world, 10, seed=4)
    assert (fold.fitted.item.reshape(6, 9) == clicks[:, :9]).all()
    assert (fold.held_item == clicks[:, 9]).all()
    assert fold.fitted.n_items == 30


@pytest.mark.parametrize(
    "changes",
    [{"items": 3, "groups": 4}, {"users": 0}, {"quality": -1.0}, {"taste": np.nan}],
)
def test_a_world_that_can_t_be_is_refused(changes):
    with pytest.raises(InputError):
        make_synthetic(**{"users": 2, "items": 10, "groups": 2, **changes})


def test_the_size_of_chunks_changes_no_click():
    world = make_synthetic(53, 200, groups=8, exposure=0.5, seed=3)
    whole = large_fold(world, 53 * 6 + 5, seed=1)
    for at_once in (1, 17, 100):
        parts = large_fold(world, 53 * 6 + 5, seed=1, at_once=at_once)
        assert (parts.fitted.item == whole.fitted.item).all()
        assert (parts.held_item == whole.held_item).all()
    other = large_fold(world, 53 * 6 + 5, seed=2)
    assert (other.fitted.item != whole.fitted.item).mean() > 0.5


def test_users_share_the_interactions_evenly():
    world = make_synthetic(7, 50, groups=5)
    fold = large_fold(world, 7 * 4 + 3)
    assert np.diff(fold.fitted.offsets).tolist() == [5, 5, 5, 4, 4, 4, 4]
    assert (np.bincount(fold.fitted.user) == np.diff(fold.fitted.offsets)).all()
    assert fold.fitted.item.dtype == fold.fitted.user.dtype == np.int32
    check(fold.fitted)
    check(fold)


def test_clicks_of_a_user_are_independent_of_those_before():
    """Pairs of neighbouring clicks in a world of one taste: the product of the shares.

    Numbers of a counter that overlapped between users or clicks would show here.
    """
    world = make_synthetic(2_000, 6, groups=3, taste=0.0, seed=1)
    clicks = large_fold(world, 200_000, seed=2).fitted.item
    pairs = np.bincount(clicks[:-1] * 6 + clicks[1:], minlength=36).reshape(6, 6)
    assert stats.chi2_contingency(pairs).pvalue > 0.01


def test_memory_is_that_of_the_index_arrays_and_of_a_chunk():
    """600,000 clicks take 7 MB; [users, items] would take 30 MB as bits alone."""
    interactions, at_once = 600_000, 1 << 14
    world = make_synthetic(12_000, 20_000, seed=0)
    tracemalloc.start()
    fold = large_fold(world, interactions, at_once=at_once)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    arrays = fold.fitted.item, fold.fitted.user, fold.fitted.order
    held = sum(array.nbytes for array in arrays)
    assert held == 12 * interactions
    users_and_items = 8 * 32_000 * 8
    assert peak < held + 200 * at_once + users_and_items


@pytest.mark.parametrize("interactions", [9, 1 << 31])
def test_interactions_that_cant_be_are_refused(interactions):
    world = make_synthetic(10, 50, groups=5)
    with pytest.raises(InputError, match=f"{interactions} interactions of 10 users"):
        large_fold(world, interactions)
