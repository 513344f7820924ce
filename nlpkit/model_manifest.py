"""nlpkit.json: what a model directory says of itself."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlpkit import __version__
from nlpkit.errors import ModelError

FORMAT = 1
MANIFEST, VOCABULARY, WEIGHTS, CARD = "nlpkit.json", "vocab.txt", "model.safetensors", "README.md"
TASKS = ("mlm", "encoder", "lm", "segmenter", "triples", "entities", "classifier", "chat")

_NAME = re.compile(r"\w[\w.-]*")
_KINDS = {dict: "an object", list: "a list", str: "a string", int: "a number", float: "a number"}
GET_AGAIN = "get the model again, or import it again with `nlpkit models import`"


@dataclass(frozen=True)
class FileInfo:
    """What a file was when the model was saved: its size, and its SHA-256 in hexadecimal digits."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What nlpkit.json says of a model; the order of the fields is that of the file.

    Attributes:
        name: What the model was called when it was saved; it is found by the name of its folder.
        task: One of `TASKS`.
        architecture: What `nlpkit.bert.config` knows, such as "bert".
        config: Sizes of the architecture, under the names of published checkpoints.
        tokenizer: How text becomes tokens: {"lower_case": bool}.
        labels: Names of what a classifier or tagger tells apart.
        schema: Predicates or entity types with what belongs to them.
        thresholds: Numbers that decide, fitted on development data.
        training: Settings of the run that made it, or where it was imported from.
        metrics: Figures on development data.
        nlpkit_version: The version that saved it.
        files: Every file but this one and the card; `save_model` fills it.
    """

    name: str
    task: str
    architecture: str
    config: dict[str, Any]
    tokenizer: dict[str, Any]
    labels: list[Any] | dict[str, Any] | None = None
    schema: list[Any] | dict[str, Any] | None = None
    thresholds: list[Any] | dict[str, Any] | None = None
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    nlpkit_version: str = __version__
    files: dict[str, FileInfo] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as nlpkit.json has them; those that are None are left out."""
        fields = dataclasses.asdict(self)
        return {"format": FORMAT} | {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_json(cls, fields: object, place: str) -> Manifest:
        """Check fields that were read; those of other names are passed over.

        Args:
            fields: Any JSON value.
            place: What to call the file in a message.

        Raises:
            ModelError: it is no object, of another format, or a field is missing or wrong.
        """
        if not isinstance(fields, dict):
            raise ModelError(f"{place}: {_kind(fields)}, not an object")
        version = _get(fields, "format", place, int)
        if version != FORMAT:
            raise ModelError(
                f"{place}: format {version}, and nlpkit {__version__} reads format {FORMAT}",
                hint="a newer nlpkit made it: upgrade with `pip install --upgrade nlpkit`",
            )
        values = {name: _get(fields, name, place, str) for name in ("name", "task", "architecture")}
        if values["task"] not in TASKS:
            raise ModelError(
                f"{place}: unknown task {values['task']!r}", hint=f"known are {', '.join(TASKS)}"
            )
        for name in ("config", "tokenizer", "training", "metrics"):
            values[name] = _get(fields, name, place, dict)
        _get(values["tokenizer"], "lower_case", f"{place}: tokenizer", bool)
        for name in ("labels", "schema", "thresholds"):
            if fields.get(name) is not None:
                values[name] = _get(fields, name, place, list, dict)
        values["nlpkit_version"] = _get(fields, "nlpkit_version", place, str)
        files = _get(fields, "files", place, dict)
        values["files"] = {name: _file_info(name, files[name], place) for name in files}
        for name in (VOCABULARY, WEIGHTS):
            _get(files, name, f"{place}: files", dict)
        return cls(**values)


def is_plain_name(name: str) -> bool:
    """Tell whether this can be the name of a model, or of a file in its folder: no path, nothing hidden."""
    return _NAME.fullmatch(name) is not None


def _get(fields: dict[str, Any], name: str, place: str, *types: type) -> Any:
    """Return a field that has one of the types; a truth value is no number."""
    if name not in fields:
        raise ModelError(f"{place}: no field '{name}'")
    value = fields[name]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wanted = " or ".join(_KINDS.get(one, "true or false") for one in types)
        raise ModelError(f"{place}: field '{name}' is {_kind(value)}, not {wanted}")
    return value


def _kind(value: object) -> str:
    return _KINDS.get(type(value)) or json.dumps(value)  # of what is left, null, true and false


def _file_info(name: str, value: Any, place: str) -> FileInfo:
    inside = f"{place}: files: {name}"
    if not is_plain_name(name):
        raise ModelError(f"{place}: files: {name!r} is no plain file name")
    if not isinstance(value, dict):
        raise ModelError(f"{inside}: {_kind(value)}, not an object")
    info = FileInfo(_get(value, "bytes", inside, int), _get(value, "sha256", inside, str))
    if info.bytes < 0 or not re.fullmatch("[0-9a-f]{64}", info.sha256):
        raise ModelError(f"{inside}: not a size and a SHA-256")
    return info


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def read_manifest(folder: Path) -> Manifest:
    """Read the nlpkit.json of a model directory.

    Raises:
        ModelError: the file is missing, unreadable or wrong; the message names it and the field.
    """
    path = folder / MANIFEST
    try:
        fields = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            f"{folder}: no {MANIFEST}, so this is no model directory",
            hint="`nlpkit models import PATH --name NAME` makes one from a checkpoint",
        ) from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: not UTF-8", hint=GET_AGAIN) from None
    except json.JSONDecodeError as error:
        raise ModelError(f"{path}:{error.lineno}: not JSON: {error.msg}", hint=GET_AGAIN) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON that can be read: {error}", hint=GET_AGAIN) from None
    return Manifest.from_json(fields, str(path))
