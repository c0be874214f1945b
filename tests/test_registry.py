"""What a registry says of an entry that takes another one's name."""

from research.registry import Registry


def test_an_entry_in_the_place_of_the_projects_own_is_said(capsys):
    registry = Registry("cut", {"last": 1.5})
    own = registry["last"]
    registry["mine"] = 2.5
    registry["mine"] = 3.5
    registry["last"] = own
    assert capsys.readouterr().err == ""

    registry["last"] = 4.5
    assert registry["last"] == 4.5
    assert capsys.readouterr().err == (
        "warning: cut 'last' of this project is replaced\n"
    )
