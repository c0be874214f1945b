"""Studies of own data split it by its column part and find its files by its name."""

import pytest

from experiments import inputs
from experiments.studies import STUDIES
from experiments.study import StudyOptions
from research.types import InputError
from tests.data.own import csv_text, write

# What these look for before they read the data; the data has none of it.
LOOKED_FOR = {
    "collapse": "on shop, split given: .* python -m experiments.tuned OUT shop given",
    "pace": "on shop, split given: .* python -m experiments.tuned OUT shop given",
    "coverage": "records/shop/ssb-given.npz",
}
FOLDERS = ("shift", "calibrated-shift", "unclicked", "at-k")  # of given splits alone
SAMPLED = ("span",)  # splits parts of the data that it draws
SPLIT = [
    name
    for name, study in STUDIES.items()
    if study.place is None and name not in (*LOOKED_FOR, *FOLDERS, *SAMPLED)
]


@pytest.fixture
def options(tmp_path):
    rows = [
        (f"u{user}", f"i{item}", "test" if (user + item) % 8 == 0 else "train")
        for user in range(40)
        for item in range(user % 2, 60, 4)
    ]
    path = write(tmp_path / "shop.csv", csv_text(rows, "user,item,part"))
    return StudyOptions(tmp_path, str(path), quick=True, jobs=1)


class Seen(Exception):
    """The split that a study asks for."""


@pytest.mark.parametrize("name", SPLIT)
def test_the_column_part_splits_the_data(name, options, monkeypatch):
    def stopped(data, *about):
        raise Seen(data.split)

    monkeypatch.setattr(inputs, "_fold", stopped)
    with pytest.raises(Seen, match="given"):
        STUDIES[name].run(options)


@pytest.mark.parametrize("name", LOOKED_FOR)
def test_what_is_there_already_is_looked_for_by_the_name(name, options):
    with pytest.raises(InputError, match=LOOKED_FOR[name]):
        STUDIES[name].run(options)


def test_the_line_names_no_flag_that_studies_refuse(options, capsys):
    split = inputs.study_split(options.dataset, None)
    assert split == "given"
    assert capsys.readouterr().err.endswith(
        "shop: split given, as the data has a column part\n"
    )
