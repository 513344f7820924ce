"""The sizes and choices of a transformer, under the names that published checkpoints use."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from nlpkit.errors import ModelError

Architecture = Literal["bert", "albert", "nezha", "roformer", "gpt", "gpt2"]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)
ACTIVATIONS = ("gelu", "gelu_tanh", "relu")
# How other programs spell the activations above.
_SPELLINGS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh"}


@dataclass(frozen=True)
class ModelConfig:
    """One transformer of any supported architecture.

    Attributes:
        architecture: what the layers are; `albert` shares one layer's weights among all.
        vocab_size: rows of the token embedding.
        hidden_size: width of the vectors between layers; a multiple of num_attention_heads.
        embedding_size: width of the token embedding, mapped to hidden_size where it differs.
        hidden_act: `gelu` (the erf form), `gelu_tanh` or `relu`.
        max_position_embeddings: rows of the position embedding; no limit for nezha and roformer.
        type_vocab_size: rows of the segment embedding, 0 for none.
        attention_key_size: width of one head's queries and keys; 0 is hidden_size / heads.
        max_relative_position: nezha clips distances here.
        hidden_dropout_prob: in [0, 1), used in training only, as attention_probs_dropout_prob.
        initializer_range: standard deviation of fresh weights.
    """

    architecture: Architecture
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    embedding_size: int
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    attention_key_size: int = 0
    max_relative_position: int = 64
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        """Refuse sizes that no model can have."""
        if self.architecture not in ARCHITECTURES:
            raise ModelError(
                f"unknown architecture {self.architecture!r}", hint=f"known: {', '.join(ARCHITECTURES)}"
            )
        if self.hidden_act not in ACTIVATIONS:
            raise ModelError(
                f"unknown activation {self.hidden_act!r}", hint=f"known: {', '.join(ACTIVATIONS)}"
            )
        sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
        for name in (*sizes, "embedding_size", "max_position_embeddings"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}, which must be at least 1")
        heads = self.num_attention_heads
        if self.hidden_size % heads:
            raise ModelError(f"hidden_size {self.hidden_size} cannot be split among {heads} heads")
        if self.architecture == "roformer" and self.key_size % 2:
            raise ModelError(f"roformer turns pairs of numbers, and a head's keys have {self.key_size}")
        if self.architecture == "nezha" and self.key_size != self.head_size:
            raise ModelError(f"nezha needs keys as wide as values, not {self.key_size} and {self.head_size}")
        if self.is_causal and self.embedding_size != self.hidden_size:
            raise ModelError(
                f"{self.architecture} needs embedding_size = hidden_size, not {self.embedding_size}"
            )

    @property
    def head_size(self) -> int:
        """Width of one attention head's values."""
        return self.hidden_size // self.num_attention_heads

    @property
    def key_size(self) -> int:
        """Width of one attention head's queries and keys."""
        return self.attention_key_size or self.head_size

    @property
    def is_causal(self) -> bool:
        """Whether a position sees only those before it."""
        return self.architecture in ("gpt", "gpt2")

    @property
    def max_length(self) -> int | None:
        """The longest input in tokens; None where positions are relative."""
        return None if self.architecture in ("nezha", "roformer") else self.max_position_embeddings

    def to_json(self) -> dict[str, Any]:
        """Return all fields but the architecture, as a model directory keeps them."""
        fields = dataclasses.asdict(self)
        del fields["architecture"]
        return fields

    @classmethod
    def from_json(cls, architecture: str, fields: Mapping[str, Any]) -> ModelConfig:
        """Read a Google-style config; names that it does not know are ignored.

        Raises:
            ModelError: a size is missing, is no number or does not fit the others.
        """
        known = {field.name: field for field in dataclasses.fields(cls) if field.name != "architecture"}
        values = {name: value for name, value in fields.items() if name in known and value is not None}
        values.setdefault("embedding_size", values.get("hidden_size"))
        act = values.get("hidden_act", "gelu")
        values["hidden_act"] = _SPELLINGS.get(str(act), act)
        for name, field in known.items():
            if name not in values:
                if field.default is dataclasses.MISSING:
                    raise ModelError(f"the model's config has no {name}")
                continue
            values[name] = _checked(name, values[name], str(field.type))
        return cls(architecture=architecture, **values)  # type: ignore[arg-type]  # checked above


def _checked(name: str, value: Any, kind: str) -> Any:
    """Return the value of a config field when it has the right type."""
    fits = {
        "int": isinstance(value, int) and not isinstance(value, bool) and value >= 0,
        "float": isinstance(value, int | float) and 0 <= value < 1,
        "str": isinstance(value, str),
    }[kind]
    if not fits:
        raise ModelError(f"the model's config has {name}: {value!r}, which is no {kind} in range")
    return float(value) if kind == "float" else value
