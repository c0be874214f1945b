"""Which logits are held whole, and which come in blocks of what width."""

import dataclasses
import functools

import pytest

from research.config import Config
from research.logits.reducers import LIMITS, WHOLE, Limits, Plan, choose_plan
from research.negatives import held_whole

SMALL = Limits(
    one_pass=100,
    several_passes=1000,
    encoded=50,
    column_block=400,
    fewest_columns=7,
    row_block=9,
)


@pytest.mark.parametrize(
    ("columns", "one_pass", "block"),
    [(9, True, 0), (10, True, 40), (99, False, 0), (100, False, 40)],
)
def test_logits_come_in_blocks_from_the_limit_of_the_loss(columns, one_pass, block):
    plan = choose_plan(10, columns, whole=False, one_pass=one_pass, limits=SMALL)
    assert plan.columns == block
    assert plan.whole is (block == 0)
    assert plan.row_block == 9


def test_a_block_has_a_least_width():
    plan = choose_plan(100, 100, whole=False, one_pass=True, limits=SMALL)
    assert plan.columns == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"hardest": 5},
        {"duplicates": "inclusion"},
        {"item_gradient": "batch"},
        {"positives": "item-item"},
    ],
)
def test_a_switch_that_needs_all_logits_has_them_held(changes):
    """And then no source is encoded inside a block."""
    whole = held_whole(dataclasses.replace(Config(), **changes)) is not None
    plan = choose_plan(10, 9000, (9000,), whole=whole, one_pass=True, limits=SMALL)
    assert plan.whole
    assert plan.inside == (False,)


def test_a_source_is_encoded_inside_a_block_where_it_is_wide_enough_by_itself():
    """1,000 logits and more than 50 columns, whatever the loss."""
    choose = functools.partial(choose_plan, whole=False, limits=SMALL)
    for one_pass in (False, True):
        plan = choose(10, 5199, (0, 99, 100, 5000), one_pass=one_pass)
        assert plan.inside == (False, False, True, True)
    assert choose(1000, 51, (50, 1), one_pass=True).inside == (False, False)


def test_the_reference_recipe_is_held_whole():
    choose = functools.partial(choose_plan, whole=False, one_pass=True)
    assert held_whole(Config()) is None
    assert choose(512, 512) == WHOLE
    assert choose(1024, 1024) == Plan(4096, LIMITS.row_block)
