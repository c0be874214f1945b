"""Lines on stderr, and the names that they begin with."""

import pytest

from research.notices import named, say


def test_a_line_begins_with_the_name_it_is_about(capsys):
    with named("a seed 0"):
        say("collapsed")
    say("done")
    printed = capsys.readouterr()
    assert printed.err == "a seed 0: collapsed\ndone\n"
    assert printed.out == ""


def test_a_failure_ends_the_name(capsys):
    with pytest.raises(OSError, match="full"), named("a seed 0"):
        raise OSError("full")
    say("done")
    assert capsys.readouterr().err == "done\n"
