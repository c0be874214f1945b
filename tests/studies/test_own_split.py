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


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), "random"),
        (("train", "test"), "given,validation=0.1"),
        (("train", "validation", "test"), "given"),
    ],
)
def test_ones_own_data_is_split_as_suits_it(parts, expected, tmp_path):
    rows = [(f"u{n % 9}", f"i{n // 9}") for n in range(90)]
    if parts:
        rows = [(*row, parts[n % len(parts)]) for n, row in enumerate(rows)]
    header = "user,item,part" if parts else "user,item"
    path = write(tmp_path / "shop.csv", csv_text(rows, header))
    assert loaded.study_split_fields(str(path), None) == {"split": expected}
    assert loaded.study_split_fields("ml-100k", None) == {"split": "ratio"}
