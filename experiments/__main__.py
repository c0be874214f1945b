"""The one command line: python -m experiments {list,run,train,encode,report,...}.

Only the module of the command that is called is imported, so that a list, a help text
or a refusal needn't wait for heavy imports. What is imported above is light: a signal
that arrives during the other imports ends the command as one that arrives later.
"""

import contextlib
import dataclasses
import errno
import importlib
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from experiments.commands.signals import (
    Stopped,
    catch_signals,
    output_closed,
    stopped,
    tell,
)

# Each command: the module and class that hold its flags, and what it does.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "list": ("commands.listing", "List", "list grids, or the names of a registry"),
    "run": ("commands.grids", "Run", "train a grid, write its tables and figures"),
    "choose": ("commands.choose", "Choose", "answer what to train on your own data"),
    "train": ("commands.train", "Train", "train one model; any config field is a flag"),
    "encode": ("commands.encode", "Encode", "encode users with a saved model"),
    "report": ("commands.grids", "Report", "write tables and figures from records"),
    "check": ("commands.check", "Check", "check your own entries, or results/"),
    "data": ("commands.data", "Data", "print what was read, write a split as files"),
    "bench": ("bench.command", "Bench", "measure speed and memory"),
}
TRAINS = ("run", "choose", "train")
PROGRAM = "python -m experiments"
NO_ROOM = "RESOURCE_EXHAUSTED"  # what compiled programs say of too little memory
# Of a path that was asked for, or of what stands in its way: not of a disk.
BAD_PATHS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.EEXIST)


def main(words: list[str] | None = None) -> int:
    """Runs one command; returns 0, 1 (a run failed) or 2 (bad input).

    As a program (without words) it ends on signals with 128 and the signal's number.
    """
    try:
        if words is None:
            words = sys.argv[1:]
            catch_signals()
        return _run(words)
    except KeyboardInterrupt:
        return stopped(signal.SIGINT)
    except Stopped as stop:
        return stopped(stop.number)
    except BrokenPipeError:
        return output_closed()
    except OSError as error:  # a full disk, a folder that was made read-only
        tell(f"error: {error.filename or 'files'}: {error.strerror or error}")
        return 2 if error.errno in BAD_PATHS else 1
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and NO_ROOM not in str(error):
            raise
        said = " ".join(str(error).split())
        tell(f"error: out of memory{': ' * bool(said)}{said}")
        return 1


def _run(words: list[str]) -> int:
    """The exit status of a command; what is refused is said in one line."""
    from experiments.commands.preconditions import refusal

    if line := refusal():
        print(f"error: {line}", file=sys.stderr)
        return 2
    from research.compiler import set_one_thread, set_xla_flags
    from research.types import InputError

    set_xla_flags()
    try:
        if not words or words[0] in ("-h", "--help"):
            print(_overview())
            return 0 if words else 2
        if words[0] in TRAINS:
            set_one_thread()
        status: int = parse(words)()
        sys.stdout.flush()
        return status
    except InputError as error:
        print(f"error: {_printable(str(error))}", file=sys.stderr)
        return 2


def _printable(text: str) -> str:
    """The text on one line: control characters of a file or a name are escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def _overview() -> str:
    lines = [f"usage: {PROGRAM} COMMAND [--help]", ""]
    lines += [f"  {name:8}{about}" for name, (_, _, about) in COMMANDS.items()]
    return "\n".join(lines)


def parse(words: list[str]) -> Any:
    """The command that the words ask for, its flags read.

    Raises:
      InputError: an unknown command or flag, or a value of another type.
    """
    import tyro

    from research.types import InputError, choose

    module, name, _ = choose(words[0], COMMANDS, "command")
    command = getattr(importlib.import_module(f"experiments.{module}"), name)
    _check_text(words)
    rest, default = [_plain_word(word) for word in words[1:]], None
    _check_flags(rest, command)
    if hasattr(command, "from_words"):  # train --arm NAME changes the defaults
        default, rest = command.from_words(rest)
    _check_words(rest, command, default)
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            return tyro.cli(
                command, args=rest, default=default, prog=f"{PROGRAM} {words[0]}"
            )
    except SystemExit as end:
        if end.code:  # zero after --help
            raise InputError(_one_line(message.getvalue())) from None
        raise


# Flags of earlier versions whose values stand behind the name of an entry now.
MOVED = {
    "--alpha": "--negatives popularity:1024,alpha=0.75",
    "--mix": "--negatives extra:1024,mix=0.5",
    "--warmup": "--negatives in-batch fifo-cache:4096,warmup=1000",
    "--band-low": "--negatives rank-band:10,low=101",
    "--band-high": "--negatives rank-band:10,high=500",
    "--frequency-rate": "--frequency streaming,rate=0.01",
    "--hashes": "--frequency streaming,hashes=2",
    "--buckets": "--frequency streaming,buckets=65536",
    "--frequency-window": "--frequency periodic,window=24",
    "--session-gap": "--positives item-item,gap=1",
    "--halves": "--positives user-user,halves=random",
    "--hyper": "--loss hinge,margin=0.5",
    "--baseline": "--model ease,l2=300",
    "--split-seed": "--split random,seed=1",
    "--split-rule": "--split random,sizes=recbole",
    "--validation-share": "--split given,validation=0.1",
    "--tie-salt": "--tie-seed 1",
    "--library": "--catalogue all",
    "--window-days": "--batch-order time,days=7",
    "--search-words": "--encoder query --search simulated,words=8",
    "--search-noise": "--encoder query --search simulated,noise=0.2",
    "--served": "--serve-norm dot",
    "--item-push": "--item-gradient balanced",
    "--temperature-low": "--temperature-kind learned,low=0.01",
    "--temperature-high": "--temperature-kind learned,high=1",
    "--temperature-end": "--temperature-kind scheduled,end=0.05",
    "--temperature-schedule": "--temperature-kind scheduled,schedule=linear",
    "--temperature-power": "--temperature-kind by-popularity,power=0.1",
    "--temperature-served": "--temperature-kind by-popularity,served=own",
    "--temperature-spread": "--temperature-kind per-user,spread=1",
}


def _check_flags(words: list[str], command: type) -> None:
    """Refuses a flag of an earlier version, and one of several words given twice.

    Raises:
      InputError: naming it, and what stands in its place.
    """
    from research.types import InputError

    flags = [word.partition("=")[0] for word in words]
    for flag in flags:
        if flag in MOVED:
            raise InputError(f"{flag} is no flag any more: write {MOVED[flag]}")
    several = [f for f, hint, _ in _flags(command) if "tuple[" in str(hint)]
    for flag in several:  # of two the last would count alone
        if flags.count(flag) > 1:
            raise InputError(f"{flag} is given twice: give it once, with all its words")


def _check_words(words: list[str], command: type, default: Any) -> None:
    """Refuses flags without the words that they need.

    Raises:
      InputError: one of several words has none, unless that empties a default: what is
        said of no word, such as all arms, isn't meant. Or a number is written with
        blanks or with digits other than 0 to 9, which Python would read.
    """
    from research.types import InputError

    flags = {name: (hint, usual) for name, hint, usual in _flags(command, default)}
    for word, after in zip(words, [*words, "--"][1:], strict=True):
        flag, equals, given = word.partition("=")
        hint, usual = flags.get(flag, (None, None))
        bare = after.startswith("--") and not equals and "tuple[" in str(hint)
        if bare and usual == ():
            raise InputError(f"{word} needs a word: leave it out for its default")
        number = given if equals else after
        numeric = {int, float} & {hint, *get_args(hint)}
        if numeric and (number != number.strip() or not number.isascii()):
            raise InputError(f"{flag} '{number}': write the number in digits 0 to 9")


def _flags(command: type, default: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """The flags of a command, each with its type and its default."""
    known = command if default is None else default
    for name, hint in get_type_hints(command).items():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from _flags(hint, getattr(known, name, None))
        else:
            yield f"--{name.replace('_', '-')}", hint, getattr(known, name, None)


def _check_text(words: list[str]) -> None:
    """Refuses a word that isn't UTF-8, such as a file's name: no page could print it.

    Raises:
      InputError: it isn't.
    """
    from research.types import InputError

    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(word).decode(errors="backslashreplace")
            raise InputError(f"'{shown}' is not UTF-8: rename it") from None


def _plain_word(word: str) -> str:
    """A word; of a flag, its name with -, and the home folder in place of ~ after =.

    >>> _plain_word("--start_from=a_model"), _plain_word("a_model")
    ('--start-from=a_model', 'a_model')
    """
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    if value.startswith("~/"):  # which shells keep
        value = os.path.expanduser(value)
    return flag.replace("_", "-") + equals + value


def _one_line(box: str) -> str:
    """The first part of what tyro draws in a box, as one line, and the nearest flag.

    >>> _one_line("╭─ Bad ─╮\\n│ No │\\n│ ─── │\\n│ Perhaps you meant: │\\n│ --k INT │")
    'No (nearest: --k)'
    >>> _one_line(" Bad\\n ---\\n No\\n ---\\n Perhaps you meant:\\n --k INT")
    'No (nearest: --k)'
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [
        line.strip("│ ")
        for line in plain.splitlines()
        if not line.startswith(("╭", "╰"))
    ]
    rules = [n for n, line in enumerate(lines) if line and not line.strip("─-")]
    if (
        rules and "╭" not in plain
    ):  # on a terminal in ASCII the title is above the first rule
        lines, rules = lines[rules[0] + 1 :], [n - rules[0] - 1 for n in rules[1:]]
    first = _plainer(" ".join(" ".join(lines[: rules[0] if rules else None]).split()))
    near = re.search(r"Perhaps you meant: *\n(--[\w-]+)", "\n".join(lines))
    return first + (f" (nearest: {near[1]})" if near else "")


_UNION = re.compile(
    r"Error parsing (\S+): no type matching (.+?) could be instantiated from "
    r"\[(.*?)\]\."
)
_NUMBER = re.compile(r"Error parsing (\S+): .*?(int|float)\b.*: '([^']*)'$")


def _plainer(line: str) -> str:
    """tyro's complaint about a value, in plain words: flag, value, expected type.

    >>> _plainer("Error parsing --k: invalid literal for int() with base 10: 'x'")
    "--k 'x': expected INT"
    >>> _plainer("Error parsing --p: no type matching {None}|FLOAT|{rule} could be "
    ...          "instantiated from ['x']. Got errors: - <class 'float'>")
    "--p 'x': expected FLOAT or rule"
    """
    if found := _UNION.match(line):
        flag, union, words = found.groups()
        kinds = [kind.strip("{}") for kind in union.split("|")]
        expected = " or ".join(kind for kind in kinds if kind != "None")
        return f"{flag} {words}: expected {expected}"
    if found := _NUMBER.match(line):
        return f"{found[1]} '{found[3]}': expected {found[2].upper()}"
    return line


if __name__ == "__main__":
    sys.exit(main())
