"""Writers that are killed at each of their steps."""

import pytest

from tests.kill.points import WRITERS
from tests.process import python


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_that_is_killed_leaves_nothing_half_written(name, tmp_path):
    told = python("-W", "ignore", "-m", "tests.kill.points", name, tmp_path)
    assert int(told.split()[-2]) > 3, told
