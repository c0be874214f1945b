"""Arrays with named axes, by what NumPy gives for the bare ones."""

import numpy as np
import pytest

from experiments.kit import Data, Named, claim, collect, each, joined, places, tidy
from experiments.study import StudyOptions
from research.report.intervals import over_seeds, two_way
from research.report.records import load_stored

LABELS = {"arm": ("a", "b"), "seed": (0, 1, 2), "total": (0.0, 0.5, 1.0, 1.5)}
VALUES = np.random.default_rng(0).normal(size=(2, 3, 4))
ARRAY = Named(VALUES, LABELS)


def test_parts_are_found_by_their_labels():
    assert ARRAY.at(arm="b", total=0.5, seed=2).item() == VALUES[1, 2, 1]
    some = ARRAY.at(total=[1.5, 0.5])
    np.testing.assert_array_equal(some.values, VALUES[:, :, [3, 1]])
    assert some.labels["total"] == (1.5, 0.5)
    assert ARRAY.at(kind="no such axis").values is not None
    with pytest.raises(ValueError, match="not in list"):
        ARRAY.at(total=0.7)


def test_arithmetic_goes_by_names_and_not_by_the_order_of_axes():
    turned = Named(
        VALUES.transpose(2, 0, 1), {n: LABELS[n] for n in ("total", "arm", "seed")}
    )
    np.testing.assert_array_equal((ARRAY - turned).values, 0.0)
    by_arm = Named(np.array([1.0, 2.0]), {"arm": LABELS["arm"]})
    np.testing.assert_allclose((by_arm * ARRAY).along(*LABELS), VALUES * [[[1]], [[2]]])
    with pytest.raises(ValueError, match="axis arm"):
        ARRAY + ARRAY.at(arm=["b", "a"])
    with pytest.raises(ValueError, match="shape"):
        Named(VALUES, {"arm": "ab"})


def test_a_function_of_each_cell_sees_the_arrays_along_one_axis():
    level = ARRAY.reduce("total", np.max).mean_over("seed")
    found = each(lambda y, top: (y < top).sum(), ARRAY, level, over="total")
    expected = (VALUES.max(axis=2).mean(axis=1)[:, None, None] > VALUES).sum(axis=2)
    np.testing.assert_array_equal(found.along("arm", "seed"), expected)
    pairs = ARRAY.stacked("pair", "seed", "total")
    assert pairs.at(arm="a", pair=(2, 1.0)).item() == VALUES[0, 2, 2]
    both = joined("kind", {"one": ARRAY, "two": ARRAY * 2.0})
    np.testing.assert_allclose(both.at(kind="two").values, 2 * VALUES)


def test_a_table_has_intervals_over_seeds_and_over_users_where_there_are_any():
    users = Named(np.stack([VALUES, VALUES**2]), {"user": (0, 1), **LABELS})
    table = tidy({"mean": ARRAY, "of_users": users, "top": ARRAY.at(seed=0)})
    assert len(table) == 2 * 4
    row = table[(table.arm == "b") & (table.total == 1.0)].iloc[0]
    plain = over_seeds(VALUES[1, :, 2]).interval()
    assert (row["mean"], row.mean_low, row.mean_high) == pytest.approx(plain)
    wide = two_way(np.stack([VALUES, VALUES**2])[:, 1, :, 2]).interval()
    assert (row.of_users, row.of_users_low) == pytest.approx(wide[:2])
    assert row.top == VALUES[1, 0, 2]
    assert "top_low" not in table


def test_a_number_that_a_seed_lacks_has_no_interval_and_its_claim_fails():
    lacking = ARRAY.at(arm="a", total=0.0).map(lambda x: np.where(x == x[0], np.nan, x))
    assert np.isnan(lacking.interval()).all()
    assert claim("it rises", lacking)[1:] == ["no value in 1 of 3 seeds", "fails"]
    assert claim("it is small", ARRAY.at(arm="a", total=0.0), -9.0, 9.0)[2] == "holds"


def test_what_is_collected_is_read_back_by_its_axes(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "experiments.loaded.ratings_of", lambda *_: type("Ratings", (), {"digest": ""})
    )
    axes = {"found": "arm seed total", "one": "seed"}
    points = {"arm": LABELS["arm"], "total": LABELS["total"]}
    cells = [
        (place, {"found": ARRAY.at(**place).values})
        for place in places({"seed": range(3), "arm": LABELS["arm"]})
    ]
    cells += [({"seed": seed}, {"one": seed}) for seed in range(3)]
    options = StudyOptions(tmp_path, seeds=3)
    path = collect(options, "dial", axes, points, cells, items=7)
    data = Data.of(load_stored(path), axes)
    assert data.header["items"] == 7
    assert data["found"].labels == LABELS
    np.testing.assert_allclose(data["found"].values, VALUES, rtol=1e-6)
    assert data.at(seed=2)["one"].item() == 2
    assert data.labels("total") == LABELS["total"]


def test_an_arm_of_a_study_trains_as_long_as_in_a_grid_there(tmp_path):
    options = StudyOptions(tmp_path, "ml-1m")
    config = options.arm("in-batch+logq", seed=3)
    assert (config.logq, config.seed) == (1.0, 3)
    assert (config.batch, config.epochs) == (1024, 10)
    assert options._replace(quick=True).arm("in-batch", epochs=9).epochs == 2
