"""Going on: rows are kept by raw id, new ones are fresh, and the loss starts low."""

import dataclasses

import jax
import numpy as np
import pytest

from research.config import Config
from research.prepare import prepare
from research.saved.model import saved_model
from research.saved.start import going_on
from research.train.loop import train_together
from research.train.run_state import init_state
from research.types import NUMBER, TEXT, Column, InputError
from tests.saved.made import IDS, SMALL, part_of, trained


@pytest.fixture(scope="module")
def earlier():
    """A model trained without a seventh of the users and an eleventh of the items."""
    part = part_of(lambda user: user % 7 != 3, lambda item: item % 11 != 5)
    changes = {"epochs": 12, **IDS}
    run = prepare(Config(**{**SMALL, **changes}), part)
    (result,) = train_together([run])
    return run, result, saved_model(run, result, {})


@pytest.fixture(scope="module")
def later(earlier):
    """The run on all ratings, prepared."""
    config = dataclasses.replace(earlier[0].config, epochs=2)
    return prepare(config, part_of())


def test_known_rows_and_nets_are_kept_and_new_rows_are_fresh(earlier, later):
    _, _, model = earlier
    world, sizes = later.world
    fresh = init_state(later, world, sizes).params
    params = init_state(going_on(model, later), world, sizes).params
    for name, old, new in (
        ("item", model.items, later.fold.fitted.items),
        ("history", model.items, later.fold.fitted.items),
        ("user", model.users, later.fold.fitted.users),
    ):
        place = {raw: n for n, raw in enumerate(old.id.tolist())}
        known = np.array([raw in place for raw in new.id.tolist()])
        assert 0 < known.sum() < len(known)
        at = [place[raw] for raw in new.id[known].tolist()]
        table = np.asarray(params["tables"][name])
        np.testing.assert_array_equal(table[known], model.params["tables"][name][at])
        np.testing.assert_array_equal(table[~known], fresh["tables"][name][~known])
    for side in ("user", "item"):
        jax.tree.map(np.testing.assert_array_equal, params[side], model.params[side])
    assert int(init_state(going_on(model, later), world, sizes).step) == 0


def test_categories_keep_their_rows_by_value(earlier, later):
    """The first digit of the zip: each user's row is that of the digit before."""
    _, _, model = earlier
    few = part_of(lambda user: user % 5 != 0)
    digits = {zip_[:1] for zip_ in few.fitted.users.columns["zip"].values.tolist()}
    every = [str(n) for n in range(10)]
    assert digits < set(every)  # so that codes are shifted
    config = dataclasses.replace(later.config)
    run = going_on(model, prepare(config, few))
    world, sizes = run.world
    table = np.asarray(init_state(run, world, sizes).params["tables"]["zip"])
    old = [every.index(digit) for digit in sorted(digits)]
    np.testing.assert_array_equal(table, model.params["tables"]["zip"][old])


def test_the_loss_starts_where_the_model_was(earlier, later):
    _, before, model = earlier
    (anew,) = train_together([later])
    (on,) = train_together([going_on(model, later)])
    first = [result.history[0]["loss"] for result in (anew, on)]
    gained = before.history[0]["loss"] - before.history[-1]["loss"]
    assert first[1] < first[0] - gained / 2
    assert on.history[-1]["step"] == anew.history[-1]["step"]


def test_other_towers_or_other_columns_are_refused(earlier, later):
    _, _, model = earlier
    others = (("dim", 4), ("user_features", ("id",)), ("encoder", "learned"))
    for field, value in others:
        run = prepare(dataclasses.replace(later.config, **{field: value}), part_of())
        with pytest.raises(InputError, match=f"{field} is .*it can't go on"):
            going_on(model, run)
    fold = part_of()
    genres = fold.fitted.items.columns["genres"]
    flags = np.concatenate([genres.values, genres.values[:, :1]], axis=1)
    wider = dataclasses.replace(genres, values=flags, names=(*genres.names, "E"))
    items = fold.fitted.items
    items = items._replace(columns={**items.columns, "genres": wider})
    other = fold._replace(fitted=fold.fitted._replace(items=items))
    with pytest.raises(InputError, match="the item tower's inputs have another width"):
        going_on(model, prepare(later.config, other))
    with pytest.raises(InputError, match="popularity"):
        going_on(model, prepare(Config(model="popularity"), part_of()))


def _with_items(fold, **columns):
    items = fold.fitted.items
    items = items._replace(columns={**items.columns, **columns})
    return fold._replace(fitted=fold.fitted._replace(items=items))


def _numbers(values, missing):
    return Column(NUMBER, np.where(np.arange(len(values)) == missing, np.nan, values))


def test_columns_of_the_same_width_and_another_meaning_are_refused():
    """A renamed genre, a flag of missing numbers at another column, other texts."""
    fold = part_of()
    items = fold.fitted.items
    draw = np.random.default_rng(0).normal(size=(2, len(items.id)))
    first = {"a": _numbers(draw[0], 3), "b": _numbers(draw[1], -1)}
    genres = items.columns["genres"]
    titles = items.columns["title"].values
    other = Column(TEXT, np.array(["another", *titles[1:]]))
    start = _with_items(fold, **first)
    features = ("id", "genres", "a", "b", "title")
    config = Config(**{**SMALL, "epochs": 1, "item_features": features})
    run = prepare(config, start)
    (result,) = train_together([run])
    model = saved_model(run, result, {})
    assert going_on(model, run).config == run.config
    renamed = dataclasses.replace(genres, names=(*genres.names[:-1], "Z"))
    second = {"a": _numbers(draw[0], -1), "b": _numbers(draw[1], 3)}
    for columns, reason in (
        ({"genres": renamed}, "'genres' has other categories .*Z"),
        (second, "'a' lacks no values"),
        ({"title": other}, "'title' has other texts"),
    ):
        with pytest.raises(InputError, match=reason):
            going_on(model, prepare(run.config, _with_items(start, **columns)))


@pytest.mark.parametrize("side", ["users", "items"])
def test_ids_of_the_other_kind_are_refused(earlier, later, side):
    """Numbers here and texts there: no row would be found, and all would be fresh."""
    fold, model = part_of(), earlier[2]
    table = getattr(fold.fitted, side)
    text = table._replace(text=table.id.astype(str))
    other = fold._replace(fitted=fold.fitted._replace(**{side: text}))
    line = f"{side[:-1]} ids are texts in this data and whole numbers in the model"
    with pytest.raises(InputError, match=line):
        going_on(model, prepare(later.config, other))


def test_a_model_without_new_data_starts_as_it_ended():
    run, result, model = trained()
    (on,) = train_together([going_on(model, run)])
    assert on.history[0]["loss"] < result.history[-1]["loss"] + 0.05
