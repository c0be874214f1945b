"""Studies of own data split it by its column part and find its files by its name."""

import pytest

from experiments import loaded
from experiments.studies import STUDIES
from experiments.study import StudyOptions, save_measured
from research.report.records import read_header
from tests.data.own import csv_text, write

SPLIT = [name for name, study in STUDIES.items() if study.place is None]


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

    monkeypatch.setattr(loaded, "_fold", stopped)
    with pytest.raises(Seen, match="given"):
        STUDIES[name].run(options)


def test_records_name_the_split_that_they_are_of(options):
    records = save_measured(options, "probe", {})
    assert read_header(records)["split"] == "given"


def test_the_line_names_no_flag_that_studies_refuse(options, capsys):
    split = loaded.study_split(options.dataset, None)
    assert split == "given"
    assert capsys.readouterr().err.endswith(
        "shop: split given, as the data has a column part\n"
    )
