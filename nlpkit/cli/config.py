"""Settings from files: ./nlpkit.toml over the user's config.toml, under flags and environment."""

import os
import re
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from nlpkit.errors import InputError

CONTEXT_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "NLPKIT",
    "max_content_width": 100,
}

Settings = dict[str, Any]
Places = dict[tuple[str, ...], str]  # ("evaluate", "words", "min_count") -> "nlpkit.toml:3"


def apply(ctx: typer.Context) -> None:
    """Make the settings files the defaults of every command under the root context.

    Raises:
        InputError: a file is unreadable, is not TOML, or sets an option that does not exist.
    """
    settings: Settings = {}
    places: Places = {}
    for path in _paths():
        text = _read(path)
        if text is not None:
            _merge(_parse(path, text), ctx.command, settings, places, path, text)
    ctx.default_map = settings
    ctx.obj = places


def blame(error: Any) -> InputError | None:
    """Turn a usage error into an InputError where a settings file gave the wrong value."""
    ctx, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if ctx is None or parameter is None:
        return None
    source = ctx.get_parameter_source(parameter.name)
    if source is None or source.name != "DEFAULT_MAP":
        return None
    section = tuple(ctx.command_path.split()[1:])
    place = ctx.find_root().obj[(*section, parameter.name)]
    return InputError(f"{place}: {parameter.name}: {error.message}")


def walk(command: Any) -> Iterator[Any]:
    """Yield a command and every command below it."""
    yield command
    if isinstance(command, TyperGroup):
        for child in command.commands.values():
            yield from walk(child)


def _paths() -> list[Path]:
    """Return where settings may lie, the weakest first."""
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or "")
    if not folder.is_absolute():  # the XDG rule: a relative path is ignored
        folder = Path("~/.config").expanduser()
    return [folder / "nlpkit" / "config.toml", Path("nlpkit.toml")]


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def _parse(path: Path, text: str) -> Settings:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The position is only in the text of the message until Python 3.14.
        reason, _, position = str(error).partition(" (at ")
        found = re.match(r"line (\d+)", position)
        line = int(found[1]) if found else text.count("\n") + 1
        raise InputError(f"{path}:{line}: {reason}") from None


def _merge(
    read: Settings,
    command: Any,
    into: Settings,
    places: Places,
    path: Path,
    text: str,
    section: tuple[str, ...] = (),
) -> None:
    """Copy the settings of one section, and of the sections below it, after checking each name."""
    commands = command.commands if isinstance(command, TyperGroup) else {}
    # The root's own options are read before its settings are: they are for flags and environment.
    options = {p.name for p in command.params if section and p.param_type_name == "option"}
    for raw, value in read.items():
        place = f"{path}:{_line_of(text, section, raw)}"
        key = raw if raw in commands else raw.replace("-", "_")
        if key in commands and isinstance(value, dict):
            below = into.setdefault(key, {})
            _merge(value, commands[key], below, places, path, text, (*section, key))
        elif key in options:
            into[key] = value
            places[*section, key] = place
        else:
            where = f"[{'.'.join(section)}]" if section else "the top level"
            close = get_close_matches(key, [*commands, *options], n=1)
            hint = f"did you mean '{close[0]}'?" if close else "nlpkit --help lists the commands"
            if key in commands:
                hint = f"it is a section: [{'.'.join((*section, key))}]"
            raise InputError(f"{place}: unknown name '{raw}' in {where}", hint=hint)


def _line_of(text: str, section: tuple[str, ...], key: str) -> int:
    """Return the line, from 1, that sets a key; tomllib does not tell."""
    inside: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        if header:
            inside = tuple(part.strip(" \t\"'") for part in header[1].split("."))
            if inside[: len(section) + 1] == (*section, key):
                return number
        elif inside == section and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[.=]""", line):
            return number
    return 1  # inline tables and other rare forms: at least the file is named
