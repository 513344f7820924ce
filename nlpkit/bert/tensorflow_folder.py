"""TensorFlow folders: their config, their checkpoint, and which architecture it is.

The architecture stands nowhere, so it is told from the weights and the config: names below `gpt/` are gpt2
when there is a last LayerNorm, else gpt; a shared `group_0` is albert; `use_relative_position` or
`max_relative_position` in the config is nezha; position embeddings are bert; and what has none of these is
roformer. Names and shapes are canonical as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from nlpkit.bert.config import Architecture, ModelConfig
from nlpkit.bert.names import ALBERT_GROUP
from nlpkit.bert.tensor_bundle import INDEX, read_bundle
from nlpkit.bert.tensors import Tensors
from nlpkit.errors import ModelError

# Names of the config; any other *config*.json is taken when it is the only one.
_CONFIGS = ("bert_config.json", "albert_config.json", "nezha_config.json", "gpt_config.json", "config.json")
_TRUNK = re.compile("(bert|gpt)/(embeddings|encoder|pooler|transformer|output)/")
_LAST = re.compile(r'^model_checkpoint_path: "(?:.*/)?([^/"]+)"', re.MULTILINE)


def config_file(folder: Path) -> Path:
    """Return the config.

    Raises:
        ModelError: there is none, or several of no known name.
    """
    named = [folder / name for name in _CONFIGS if (folder / name).is_file()]
    other = [file for file in folder.glob("*config*.json") if file.name != "tokenizer_config.json"]
    if not named and len(other) != 1:
        raise ModelError(f"{folder}: no config", hint=f"it is usually called {_CONFIGS[0]}")
    return (named or other)[0]


def index_file(folder: Path) -> Path:
    """Return the index of the only checkpoint, or of the one that TensorFlow noted as the last.

    Raises:
        ModelError: there are several.
    """
    found = sorted(folder.glob(f"*{INDEX}"))
    note = folder / "checkpoint"
    if len(found) > 1 and note.is_file():
        last = _LAST.search(note.read_text("utf-8", "replace"))
        found = [index for index in found if last and index.name == last[1] + INDEX] or found
    if len(found) > 1:
        names = ", ".join(index.name for index in found)
        raise ModelError(f"{folder}: {len(found)} checkpoints: {names}", hint="leave one in the folder")
    return found[0]


def read_tensors(index: Path) -> Tensors:
    """Open the checkpoint of an index.

    Raises:
        ModelError: it is damaged, or its variables have no names.
    """
    tensors = read_bundle(Path(str(index).removesuffix(INDEX)))
    if "_CHECKPOINTABLE_OBJECT_GRAPH" in tensors:
        raise ModelError(
            f"{index}: its variables have no names, only places in a program's objects",
            hint="save it by variable names, as bert4keras does with save_weights_as_checkpoint",
        )
    return tensors


def read_config(fields: Mapping[str, Any], names: Collection[str]) -> ModelConfig:
    """Read a config.

    Raises:
        ModelError: a size is missing or wrong.
    """
    architecture = _architecture(fields, names)
    if architecture == "gpt" and "gpt/embeddings/token_type_embeddings" not in names:
        fields = {"type_vocab_size": 0, **fields}
    return ModelConfig.from_json(architecture, fields)


def is_trunk(name: str) -> bool:
    """Tell whether a variable is one of the transformer's own and not of a head."""
    return _TRUNK.match(name) is not None


def _architecture(fields: Mapping[str, Any], names: Collection[str]) -> Architecture:
    if any(name.startswith("gpt/") for name in names):
        return "gpt2" if "gpt/output/LayerNorm/gamma" in names else "gpt"
    if any(name.startswith(ALBERT_GROUP) for name in names):
        return "albert"
    if fields.get("use_relative_position", "max_relative_position" in fields):
        return "nezha"
    return "bert" if "bert/embeddings/position_embeddings" in names else "roformer"
