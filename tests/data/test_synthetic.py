"""The synthetic data set: its laws by enumeration, its draws by chi-square."""

import numpy as np
import pytest
from scipy import stats

from research.data.synthetic import (
    draw_clicks,
    log_clicks,
    made_fold,
    make_synthetic,
    relevance,
)
from research.types import InputError


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


def test_draws_agree_with_their_law():
    """Chi-square of 100,000 clicks of each user; it would tell another law."""
    world = make_synthetic(3, 40, groups=7, quality=1.0, exposure=0.5, seed=1)
    (clicks,) = draw_clicks(world, 100_000, seed=3)
    p = np.exp(log_clicks(world))
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
