"""Which logits are held whole, and which come in blocks of what width."""

import dataclasses

import pytest

from research.config import Config
from research.logits.plan import LIMITS, WHOLE, Limits, choose_plan

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
    plan = choose_plan(Config(), 10, columns, one_pass, limits=SMALL)
    assert plan.columns == block
    assert plan.whole is (block == 0)
    assert plan.row_block == 9


def test_a_block_has_a_least_width():
    assert choose_plan(Config(), 100, 100, True, limits=SMALL).columns == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"hardest": 5},
        {"duplicates": "inclusion"},
        {"item_push": "batch"},
        {"positives": "item-item"},
    ],
)
def test_a_switch_that_needs_all_logits_has_them_held(changes):
    """And then no source is encoded inside a block."""
    config = dataclasses.replace(Config(), **changes)
    plan = choose_plan(config, 10, 10_000, True, (10_000,), limits=SMALL)
    assert plan.whole
    assert plan.inside == (False,)


def test_a_source_is_encoded_inside_a_block_where_it_is_wide_enough_by_itself():
    """1,000 logits and more than 50 columns, whatever the loss."""
    for one_pass in (False, True):
        fresh = (0, 99, 100, 5000)
        plan = choose_plan(Config(), 10, 5199, one_pass, fresh, SMALL)
        assert plan.inside == (False, False, True, True)
    plan = choose_plan(Config(), 1000, 51, True, (50, 1), SMALL)
    assert plan.inside == (False, False)


def test_the_reference_recipe_is_held_whole():
    assert choose_plan(Config(), 512, 512, one_pass=True) == WHOLE
    assert choose_plan(Config(), 1024, 1024, one_pass=True).columns == 4096
    assert LIMITS.row_block == WHOLE.row_block
