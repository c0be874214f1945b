"""The command data: what was read of a data set, and its split as files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.commands.flags import NO_DATA_FLAGS, DataFlags, data_values
from experiments.loaded import AUTO, chosen_split, ratings_of
from experiments.output.folders import FINISHED, check_writable
from research.config import Config
from research.data import check_dataset, is_own, name_of
from research.data.bad_rows import bad_path, copy_good_rows
from research.data.own_files import renamed
from research.data.writers import PARTS, WRITERS, Written, write_split
from research.entries import read
from research.events import catalogue
from research.notices import say
from research.prepare import check_config
from research.splits import SPLITS, parts
from research.types import InputError


@dataclass(frozen=True)
class Data:
    """Print what was read of a data set; write its split for other libraries."""

    dataset: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATASET")]
    """Data set: a name, or the path of your own file or folder (docs/own-data.md)."""
    split: str = AUTO
    """Split: as for run."""
    data: tyro.conf.OmitArgPrefixes[DataFlags] = NO_DATA_FLAGS  # type: ignore[valid-type]
    """What of the data is used, and how it is split."""
    data_dir: str | None = None
    """Folder that holds the GroupLens folders or zips; it must have the data set."""
    write: tuple[str, Path] | None = None
    """Format (recbole, recpack, lenskit or parts) and folder of the files."""
    skip_bad_rows: Path | None = None
    """Copy your own text file without the rows that can't be read to this .csv file."""

    def __call__(self) -> int:
        """Reads, prints a few lines, writes."""
        check_dataset(self.dataset)
        if self.skip_bad_rows is not None:
            columns = data_values(self.data)["columns"]
            return self._copy(self.skip_bad_rows, columns)
        if self.write is not None:
            file_format, folder = self.write
            WRITERS.choose(file_format)
            if folder.exists() and not folder.is_dir():
                raise InputError(f"folder {folder} is a file")
            check_writable(folder, "data")
        if self.split != AUTO:
            read(self.split, SPLITS)
        values = data_values(self.data)
        split = chosen_split(self.split, self.dataset, self.data_dir, values["columns"])
        config = Config(dataset=self.dataset, split=split, **values)
        check_config(config)
        ratings = ratings_of(self.dataset, self.data_dir, config.columns)
        events = catalogue(ratings, config.threshold, core=config.core)
        part = parts(split, events)
        name = name_of(self.dataset)
        if not is_own(self.dataset):
            print(
                f"{name}: {len(ratings.user):,} ratings, {len(ratings.users.id):,} "
                f"users, {len(ratings.items.id):,} items"
            )
        counts = ", ".join(
            f"{word} {int((part == number).sum()):,}" for number, word in PARTS.items()
        )
        print(
            f"{len(events.user):,} positives of {events.n_users:,} users and "
            f"{events.n_items:,} items; split {split}: {counts}"
        )
        for side, table in (("users", ratings.users), ("items", ratings.items)):
            if table.columns:
                kinds = (f"{n} ({column.kind})" for n, column in table.columns.items())
                print(f"{side}: {', '.join(kinds)}")
        print(f"digest {ratings.digest}")
        if self.write is not None:
            for option in ("left_out", "judged_from"):
                if (value := getattr(config, option)) != getattr(Config, option):
                    say(
                        f"warning: {option} is {value}: the files hold all positives "
                        "of a part, so whoever reads them needs the option again"
                    )
            written = Written(name, events, part, ratings.rated)
            paths = write_split(self.write[0], written, self.write[1])
            print(*(f"wrote {path}" for path in paths), sep="\n")
        return FINISHED

    def _copy(self, clean: Path, columns: tuple[str, ...]) -> int:
        """Copies the rows that can be read, and says how many others there are."""
        if clean.suffix != ".csv":
            raise InputError(f"--skip-bad-rows {clean}: expected a name with .csv")
        if self.write is not None:
            raise InputError("--skip-bad-rows and --write: give one of them")
        if not (is_own(self.dataset) and Path(self.dataset).is_file()):
            raise InputError(f"--skip-bad-rows: {self.dataset} isn't a file")
        check_writable(clean.parent, "data")
        found = copy_good_rows(Path(self.dataset), renamed(columns), clean)
        print(f"wrote {clean}: {found.rows:,} rows")
        print(
            f"wrote {bad_path(clean)}: {found.bad:,} rows that can't be read, and why"
        )
        return FINISHED
