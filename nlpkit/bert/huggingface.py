"""Hugging Face folders: their config, their weight files and their names for weights.

Three things differ from the canonical form: the names; `nn.Linear` keeps kernels as (output, input), so they
are transposed; GPT-2's `Conv1D` keeps them as (input, output), query, key and value side by side as one.
RoFormer rotates neighbours (2i with 2i+1) within a query, as bert4keras does, so nothing is permuted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpkit import models
from nlpkit.bert.config import ModelConfig
from nlpkit.bert.tensors import AnyArray, refuse_pointer
from nlpkit.bert.torch_file import read_torch_file
from nlpkit.errors import ModelError

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Architectures that have a Hugging Face form, under the `model_type` of their config.
MODEL_TYPES = ("bert", "albert", "nezha", "roformer", "gpt2")

_GPT2_FIELDS = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_positions": "max_position_embeddings",
    "n_inner": "intermediate_size",
    "activation_function": "hidden_act",
    "resid_pdrop": "hidden_dropout_prob",
    "attn_pdrop": "attention_probs_dropout_prob",
}

# What replaces what in a canonical name, in this order; slashes then become dots.
_ALBERT_LAYER = "encoder/albert_layer_groups/0/albert_layers/0/"
_RENAMED = {
    "bert": (("bert/", ""), ("/layer_", "/layer/"), ("/output_bias", "/bias")),
    "roformer": (
        ("bert/encoder/embedding_hidden_mapping_in", "embeddings_project"),
        ("bert/", ""),
        ("/layer_", "/layer/"),
        ("/output_bias", "/bias"),
    ),
    "albert": (
        ("bert/", ""),
        ("pooler/dense", "pooler"),
        ("cls/predictions/transform/", "predictions/"),
        ("cls/predictions/output_bias", "predictions/bias"),
        ("encoder/transformer/group_0/inner_group_0/", _ALBERT_LAYER),
        ("attention_1/self/", "attention/"),
        ("attention_1/output/", "attention/"),
        ("ffn_1/intermediate/dense", "ffn"),
        ("ffn_1/intermediate/output/dense", "ffn_output"),
        (f"{_ALBERT_LAYER}LayerNorm_1", f"{_ALBERT_LAYER}full_layer_layer_norm"),
        (f"{_ALBERT_LAYER}LayerNorm/", f"{_ALBERT_LAYER}attention/LayerNorm/"),
    ),
    "gpt2": (
        ("gpt/embeddings/word_embeddings", "wte"),
        ("gpt/embeddings/position_embeddings", "wpe"),
        ("gpt/output/LayerNorm", "ln_f"),
        ("gpt/transformer/layer_", "h/"),
        ("attention/self/query/", "attn/c_attn/"),
        ("attention/self/key/", "attn/c_attn/"),
        ("attention/self/value/", "attn/c_attn/"),
        ("attention/output/dense", "attn/c_proj"),
        ("attention/input/LayerNorm", "ln_1"),
        ("input/LayerNorm", "ln_2"),
        ("intermediate/dense", "mlp/c_fc"),
        ("output/dense", "mlp/c_proj"),
    ),
}
_RENAMED["nezha"] = _RENAMED["bert"]
# The last part of a name: here, and in files; the last two are those of files before 2019.
_LEAVES = {"kernel": ("weight",), "bias": ("bias",), "gamma": ("weight", "gamma"), "beta": ("bias", "beta")}
_FUSED = ("query", "key", "value")
_TRUNK = ("embeddings", "embeddings_project", "encoder", "pooler", "wte", "wpe", "h", "ln_f")


@dataclass(frozen=True)
class Origin:
    """Where a canonical weight comes from.

    Attributes:
        name: what the file calls it.
        transposed: the file has it as (output, input).
        third: which third of the last axis it is; None for the whole.
    """

    name: str
    transposed: bool = False
    third: int | None = None

    def read(self, tensors: Mapping[str, AnyArray]) -> AnyArray:
        """Read it and bring it into its canonical form."""
        array = tensors[self.name]
        # What cannot be cut in three stays whole, and its shape is then refused.
        if self.third is not None and array.ndim and array.shape[-1] % 3 == 0:
            width = array.shape[-1] // 3
            array = array[..., width * self.third : width * (self.third + 1)]
        return array.T if self.transposed else array


def weight_file(folder: Path) -> Path | None:
    """Return the file of weights, or the list of those in parts; None when there is none."""
    return next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)


def read_tensors(file: Path) -> Mapping[str, AnyArray]:
    """Open a file of weights, or all that a list names.

    Raises:
        ModelError: a file is absent, damaged or of another form.
    """
    refuse_pointer(file)
    if file.suffix == ".safetensors":
        return models.read_weights(file)
    if file.suffix == ".bin":
        return read_torch_file(file)
    places = read_json(file).get("weight_map")
    names = {str(name) for name in places.values()} if isinstance(places, dict) else set()
    suffixes = (".safetensors", ".bin")
    if not names or not all(models.is_plain_name(name) and name.endswith(suffixes) for name in names):
        raise ModelError(f"{file}: weight_map names no files of weights")
    tensors: dict[str, AnyArray] = {}
    for name in sorted(names):
        tensors |= read_tensors(file.parent / name)
    return tensors


def read_config(fields: Mapping[str, Any], names: Collection[str]) -> ModelConfig:
    """Read a Hugging Face config.

    Args:
        fields: of config.json.
        names: of the weights, which say the architecture when an old config does not.

    Raises:
        ModelError: it is of another architecture, or a size is missing or wrong.
    """
    prefixed = (kind for kind in MODEL_TYPES if any(name.startswith(f"{kind}.") for name in names))
    kind = fields.get("model_type") or next(prefixed, "bert")
    if kind not in MODEL_TYPES:
        raise ModelError(f"model_type {kind!r} is not supported", hint=f"supported: {', '.join(MODEL_TYPES)}")
    if kind == "gpt2":
        fields = _gpt2_fields(fields)
    elif kind in ("bert", "nezha"):
        fields = {**fields, "embedding_size": None}  # they have no such thing
    return ModelConfig.from_json(kind, fields)


def _gpt2_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give GPT-2's fields BERT's names."""
    renamed = {_GPT2_FIELDS.get(name, name): value for name, value in fields.items()}
    width = renamed.get("hidden_size")
    if renamed.get("intermediate_size") is None and isinstance(width, int):
        renamed["intermediate_size"] = 4 * width
    renamed.setdefault("hidden_act", "gelu_new")
    return {**renamed, "type_vocab_size": 0}


class Names:
    """The names of one file: which weight is where.

    Attributes:
        trunk: what stands before the names of the transformer's weights, such as `bert.`; may be empty.
        root: what stands before the names of heads.
    """

    def __init__(self, architecture: str, names: Collection[str]) -> None:
        """Find the two prefixes by the token embedding.

        Raises:
            ModelError: there is none, or more than one.
        """
        self._architecture = architecture
        self._names = names
        anchor = self._renamed(("gpt" if architecture == "gpt2" else "bert") + "/embeddings/word_embeddings")
        anchor += ".weight"
        found = [name for name in names if name == anchor or name.endswith(f".{anchor}")]
        if len(found) != 1:
            raise ModelError(
                f"{len(found) or 'no'} weights named {anchor}, where one is needed",
                hint=f"it has {len(names)} weights, such as {', '.join(sorted(names)[:3]) or 'none'}",
            )
        self.trunk = found[0].removesuffix(anchor)
        self.root = self.trunk[: self.trunk[:-1].rfind(".") + 1]

    def origin(self, canonical: str) -> Origin:
        """Return where a weight is, or the usual place of one that is absent."""
        renamed = self._renamed(canonical)
        stem, _, leaf = renamed.rpartition(".")
        candidates = (
            [f"{stem}.{ending}" for ending in _LEAVES[leaf]] if leaf in _LEAVES else [f"{renamed}.weight"]
        )
        prefix = self.root if canonical.startswith("cls/") else self.trunk
        name = next(
            (prefix + end for end in candidates if prefix + end in self._names), prefix + candidates[0]
        )
        if self._architecture != "gpt2":
            return Origin(name, transposed=leaf == "kernel")
        fused = (number for number, part in enumerate(_FUSED) if f"/self/{part}/" in canonical)
        return Origin(name, third=next(fused, None))

    def is_trunk(self, name: str) -> bool:
        """Tell whether a weight is one of the transformer's own and not of a head."""
        return name.startswith(self.trunk) and name.removeprefix(self.trunk).split(".")[0] in _TRUNK

    def copies(self) -> Iterator[tuple[str, str]]:
        """Yield weights that must equal a canonical one: the output matrix and its bias."""
        root = "gpt" if self._architecture == "gpt2" else "bert"
        head = {"gpt2": "lm_head", "albert": "predictions.decoder"}.get(
            self._architecture, "cls.predictions.decoder"
        )
        pairs = {"weight": f"{root}/embeddings/word_embeddings", "bias": "cls/predictions/output_bias"}
        for ending, canonical in pairs.items():
            if (name := f"{self.root}{head}.{ending}") in self._names:
                yield name, canonical

    def _renamed(self, canonical: str) -> str:
        for old, new in _RENAMED[self._architecture]:
            canonical = canonical.replace(old, new)
        return canonical.replace("/", ".")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelError: the file is unreadable, no JSON or no object.
    """
    try:
        fields = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON: {error}", hint="get the file again") from None
    if not isinstance(fields, dict):
        raise ModelError(f"{path}: not an object")
    return fields
