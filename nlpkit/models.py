"""Model directories: one folder is one model; found by name, read, checked and saved."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpkit.errors import ModelError
from nlpkit.model_files import (
    Dtype,
    folder_beside,
    read_vocabulary,
    read_weights,
    vocabulary_bytes,
    weight_bytes,
    weight_shapes,
)
from nlpkit.model_manifest import (
    CARD,
    GET_AGAIN,
    MANIFEST,
    TASKS,
    VOCABULARY,
    WEIGHTS,
    FileInfo,
    Manifest,
    is_plain_name,
    read_manifest,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [  # with what the modules beside this one define: callers need to know this one only
    "CARD",
    "MANIFEST",
    "TASKS",
    "VOCABULARY",
    "WEIGHTS",
    "Dtype",
    "FileInfo",
    "Listed",
    "Manifest",
    "find_model",
    "is_plain_name",
    "list_models",
    "model_folders",
    "model_names",
    "read_manifest",
    "read_vocabulary",
    "read_weights",
    "save_model",
    "user_folder",
    "verify",
    "weight_shapes",
]

HUB = "hf:"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def verify(folder: Path, manifest: Manifest, *, hashes: bool = True) -> None:
    """Make sure that the files of a model are those that were saved.

    Args:
        folder: The model directory.
        manifest: What it was read from there.
        hashes: Compare the SHA-256 of every file too, and not only its size.

    Raises:
        ModelError: a file is missing, truncated or changed; the message says which.

    Cost: reads every file once, half a second to four for a gigabyte, by the processor; without hashes
    nothing is read.
    """
    for name, info in manifest.files.items():
        path = folder / name
        try:
            size = path.stat().st_size
            if size < info.bytes:
                raise ModelError(f"{path}: truncated: {size:,} bytes of {info.bytes:,}", hint=GET_AGAIN)
            if size > info.bytes:
                raise ModelError(f"{path}: changed: {size:,} bytes, not {info.bytes:,}", hint=GET_AGAIN)
            if hashes:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                if digest != info.sha256:
                    raise ModelError(
                        f"{path}: changed: its SHA-256 is not the one in {MANIFEST}", hint=GET_AGAIN
                    )
        except FileNotFoundError:
            raise ModelError(f"{path}: the file is missing", hint=GET_AGAIN) from None
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}") from None


def save_model(
    folder: Path,
    manifest: Manifest,
    vocabulary: Sequence[str],
    weights: Mapping[str, NDArray[Any]],
    card: str,
    *,
    dtype: Dtype = "float32",
    force: bool = False,
    extra_files: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Write a model directory; the same arguments give the same bytes.

    The folder appears only when it is complete: an interrupted save or a full disk leaves what was
    there before.

    Args:
        folder: Where the model goes; the folders above it are made.
        manifest: Its `files` are those of this save, whatever they were.
        vocabulary: Tokens in the order of their ids.
        weights: Arrays of floats by their canonical names.
        card: Text of README.md.
        dtype: What the weights are stored as.
        force: Replace a model directory that is there already, with all that is in it.
        extra_files: Further files by name, such as model.onnx.

    Returns:
        The manifest as written.

    Raises:
        OutputError: the folder exists (without force, or as no model directory), or cannot be written.
        ModelError: the weights or the vocabulary cannot be stored as such, or a field is wrong.
        ValueError: a number in the manifest is not finite, or an extra file has a name of ours.
    """
    extra = dict(extra_files or {})
    if taken := extra.keys() & {MANIFEST, CARD, VOCABULARY, WEIGHTS}:
        raise ValueError(f"extra files with names of ours: {', '.join(sorted(taken))}")
    with folder_beside(folder, force=force, may_replace=_may_replace) as write:
        files = {VOCABULARY: vocabulary_bytes(vocabulary), WEIGHTS: weight_bytes(weights, dtype), **extra}
        info = {name: FileInfo(len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()}
        manifest = dataclasses.replace(manifest, files=info)
        text = json.dumps(manifest.to_json(), ensure_ascii=False, allow_nan=False, indent=2)
        Manifest.from_json(json.loads(text), MANIFEST)  # what is written can be read
        for name, data in files.items():
            write(name, data)
        write(CARD, card.encode())
        write(MANIFEST, f"{text}\n".encode())
    return manifest


def _may_replace(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or (folder.is_dir() and not any(folder.iterdir()))


@dataclass(frozen=True)
class Listed:
    """One model that can be named, or a folder that looks like one; the fields are those of the output.

    Attributes:
        name: The name of its folder.
        task: As its manifest says; "" if that cannot be read, and of a checkpoint of another program.
        architecture: As the task.
        num_bytes: Size of all its files.
        folder: Where it lies.
        error: What is wrong with it, "" if nothing is known against it.
    """

    name: str
    task: str
    architecture: str
    num_bytes: int
    folder: str
    error: str


def user_folder() -> Path:
    """Return where a user's own models lie: nlpkit/models in the XDG data folder."""
    data = Path(os.environ.get("XDG_DATA_HOME") or "")
    if not data.is_absolute():  # the XDG rule: a relative path is ignored
        data = Path("~/.local/share").expanduser()
    return data / "nlpkit" / "models"


def model_folders() -> list[Path]:
    """Return the folders whose folders are models, the first to be searched first.

    They are ./models, the user's own, and what ships; any of them may be absent.
    """
    package = Path(__file__).parent
    shipped = package / "shipped"  # in a wheel; in a checkout the folder stands beside the package
    return [Path("models"), user_folder(), shipped if shipped.is_dir() else package.parent / "models"]


def model_names() -> list[str]:
    """Return the name of every model in the folders, sorted; nothing is read."""
    return sorted(_named())


def list_models() -> list[Listed]:
    """Describe every model in the folders, sorted by name; of one name, the first found.

    The sizes of its files are checked, their hashes are not. What is wrong with a model is in its
    `error`; nothing is raised.
    """
    return [_describe(name, folder) for name, folder in sorted(_named().items())]


def find_model(spec: str, *, offline: bool = False) -> Path:
    """Return the folder of a model.

    Args:
        spec: The name of a model in `model_folders`; a folder, which a name with a slash is; or
            hf:ORG/NAME, hf:ORG/NAME@REVISION for a repository of the Hugging Face Hub, which is fetched
            into that program's cache.
        offline: Use of the Hub only what the cache holds.

    Raises:
        ModelError: there is no such model; the message lists those there are.
        MissingDependencyError: hf: without the package huggingface_hub.
        OutputError: no room in the cache of the Hub.
    """
    if spec.startswith(HUB):
        from nlpkit.model_hub import fetch

        return fetch(spec.removeprefix(HUB), offline=offline)
    is_path = "/" in spec or os.sep in spec or spec in (".", "..") or spec.startswith("~")
    named = {} if is_path else _named()
    if spec in named:
        return named[spec]
    if is_path or os.path.isdir(spec):
        return _checked(Path(spec).expanduser())
    hint = f"`nlpkit models import PATH --name {spec}` makes one, `--model hf:ORG/NAME` fetches one"
    if close := get_close_matches(spec, named, n=1):
        hint = f"did you mean {close[0]!r}?"
    raise ModelError(f"no model named {spec!r}; there are: {', '.join(sorted(named)) or 'none'}", hint=hint)


def _named() -> dict[str, Path]:
    """Return the folder of each name, in the order of the search."""
    named: dict[str, Path] = {}
    for parent in model_folders():
        for folder in _visible(parent):
            if os.path.isdir(folder) and _is_model(folder):
                named.setdefault(folder.name, folder)
    return named


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder but for hidden things, such as an unfinished save."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:  # absent, or not ours to read
        return []


def _is_model(folder: Path) -> bool:
    """Tell whether a folder is a model directory, what is left of one, or another program's checkpoint."""
    return os.path.isfile(folder / MANIFEST) or any(folder.glob("*.safetensors")) or _has_config(folder)


def _has_config(folder: Path) -> bool:
    return any(folder.glob("*config*.json"))


def _checked(folder: Path) -> Path:
    hint = "`nlpkit models list` shows the models there are"
    if os.path.isfile(folder):
        raise ModelError(f"{folder}: this is a file, and a model is a folder", hint=f"give {folder.parent}")
    if not os.path.isdir(folder):
        if _HUB_NAME.fullmatch(str(folder)):
            hint = f"hf:{folder} is the model of that name on the Hugging Face Hub"
        raise ModelError(f"{folder}: no such folder", hint=hint)
    if not _is_model(folder):
        raise ModelError(
            f"{folder}: no model: neither {MANIFEST} nor the config of a checkpoint is there", hint=hint
        )
    return folder


def _describe(name: str, folder: Path) -> Listed:
    num_bytes = sum(os.path.getsize(path) for path in _visible(folder) if os.path.isfile(path))
    if not os.path.isfile(folder / MANIFEST) and _has_config(folder):
        return Listed(name, "", "", num_bytes, str(folder), "")  # a checkpoint says no more until it is read
    try:
        manifest = read_manifest(folder)
        verify(folder, manifest, hashes=False)
    except ModelError as error:
        return Listed(name, "", "", num_bytes, str(folder), str(error))
    return Listed(name, manifest.task, manifest.architecture, num_bytes, str(folder), "")
