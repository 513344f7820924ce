"""Opens a model, whatever form its folder has: nlpkit's own, TensorFlow's or Hugging Face's.

Every variable of a file is accounted for. It is one of the model's weights, or a copy of one; or it belongs
to the optimizer, to another head or to further layers, and is listed as unused. A variable within the
transformer that its architecture does not have is an error: leaving it out would give another model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nlpkit import models
from nlpkit.bert import huggingface, tensorflow_folder
from nlpkit.bert.config import ModelConfig
from nlpkit.bert.huggingface import Origin, read_json
from nlpkit.bert.names import (
    ALBERT_GROUP,
    OTHER,
    Shapes,
    albert_name,
    expected_weights,
    layer_weights,
    mlm_weights,
    pooler_weights,
    unused_reason,
)
from nlpkit.bert.tensor_bundle import INDEX
from nlpkit.bert.tensors import AnyArray
from nlpkit.bert.vocabulary_file import read_tokens
from nlpkit.errors import ModelError

FloatArray = npt.NDArray[np.float32]

# Choices that published configs offer, and the only one that is computed here.
_ONLY: dict[str, object] = {
    "add_cross_attention": False,
    "down_scale_factor": 1,
    "gap_size": 0,
    "inner_group_num": 1,
    "is_decoder": False,
    "net_structure_type": 0,
    "norm_type": "layer_norm",
    "num_hidden_groups": 1,
    "num_memory_blocks": 0,
    "position_embedding_type": "absolute",
    "residual_attention_scores": False,
    "rotary_value": False,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
    "shared_segment_embeddings": False,
    "use_bias": True,
}
_HIGHEST_EPSILON = 1e-7  # up to here nothing can be told from the 1e-12 of BERT


@dataclass(frozen=True)
class Checkpoint:
    """A model in memory.

    Attributes:
        config: its sizes.
        vocabulary: tokens in the order of their ids; the first is [PAD].
        weights: by canonical name, kernels as (input, output). Of nlpkit's own folders all that is there,
            heads included; of others the transformer, and pooler and masked-LM head where they are whole.
        lower_case: whether its tokenizer lower-cases.
        source: the folder.
        unused: names in its files that are no part of `weights`; `names.unused_reason` says what they are.
        manifest: nlpkit.json; None for other forms.
    """

    config: ModelConfig
    vocabulary: list[str]
    weights: dict[str, FloatArray]
    lower_case: bool
    source: Path
    unused: list[str] = dataclasses.field(default_factory=list)
    manifest: models.Manifest | None = None

    @property
    def has_mlm_head(self) -> bool:
        """Whether it predicts masked tokens; never true of gpt and gpt2, which predict the next."""
        head = mlm_weights(self.config)
        return bool(head) and head.keys() <= self.weights.keys()

    def unshared(self) -> Checkpoint:
        """Give each layer of an ALBERT its own copy of the shared weights: an ordinary `bert`.

        Raises:
            ModelError: it is no ALBERT.
        """
        if self.config.architecture != "albert":
            raise ModelError(
                f"{self.source}: {self.config.architecture} shares no weights among layers",
                hint="only albert can be unshared",
            )
        weights = {name: array for name, array in self.weights.items() if not name.startswith(ALBERT_GROUP)}
        for number in range(self.config.num_hidden_layers):
            for part in layer_weights(self.config):
                weights[f"bert/encoder/layer_{number}/{part}"] = self.weights[albert_name(part)].copy()
        config = dataclasses.replace(self.config, architecture="bert")
        return dataclasses.replace(self, config=config, weights=weights, manifest=None)


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a model.

    Args:
        path: a folder with nlpkit.json; or with config.json and model.safetensors or pytorch_model.bin, whole
            or in parts; or with a config and a TensorFlow checkpoint. All of them with vocab.txt.

    Raises:
        ModelError: there is no model, a file or a weight is missing, damaged or of another shape, or the
            model computes something that this program does not.

    Cost: all weights in memory as float32, some seconds for a gigabyte.
    """
    if not path.is_dir():
        raise ModelError(f"{path}: no such folder", hint="`nlpkit models list` shows the models there are")
    if (path / models.MANIFEST).is_file():
        return _open_own(path)
    weights = huggingface.weight_file(path)
    if weights and (path / "config.json").is_file():
        return _open_huggingface(path, weights)
    if any(path.glob(f"*{INDEX}")):
        return _open_tensorflow(path)
    raise ModelError(
        f"{path}: no model is there",
        hint=f"a model is {models.MANIFEST} and what it names, or config.json, vocab.txt and"
        f" {huggingface.WEIGHT_FILES[0]}, or bert_config.json, vocab.txt and *.ckpt{INDEX}",
    )


def _open_own(path: Path) -> Checkpoint:
    manifest = models.read_manifest(path)
    models.verify(path, manifest)
    with _at(path / models.MANIFEST):
        config = ModelConfig.from_json(manifest.architecture, manifest.config)
    file = path / models.WEIGHTS
    weights = models.read_weights(file)
    needed = expected_weights(config)
    for name, shape in expected_weights(config, mlm=True, pooler=True).items():
        if name in needed or name in weights:
            _checked(weights.get(name), name, shape, file)
    vocabulary = models.read_vocabulary(path / models.VOCABULARY)
    _check_vocabulary(vocabulary, config, path / models.VOCABULARY)
    lower_case = bool(manifest.tokenizer["lower_case"])
    return Checkpoint(config, vocabulary, weights, lower_case, path, manifest=manifest)


def _open_huggingface(path: Path, file: Path) -> Checkpoint:
    place = path / "config.json"
    fields = read_json(place)
    tensors = huggingface.read_tensors(file)
    with _at(place):
        config = huggingface.read_config(fields, tensors)
        _check_choices(fields, config.architecture)
    with _at(file):
        names = huggingface.Names(config.architecture, tensors)
    found = _Found(file, config, tensors, names.origin, names.is_trunk)
    weights = found.weights()
    copies = dict(names.copies())
    for copy, canonical in copies.items():
        if not np.array_equal(tensors[copy], weights.get(canonical, np.nan)):
            raise ModelError(f"{file}: {copy} differs from {canonical}, and only tied output is supported")
    return _with_tokens(path, config, weights, found.unused(copies.keys()))


def _open_tensorflow(path: Path) -> Checkpoint:
    place = tensorflow_folder.config_file(path)
    fields = read_json(place)
    index = tensorflow_folder.index_file(path)
    tensors = tensorflow_folder.read_tensors(index)
    with _at(place):
        config = tensorflow_folder.read_config(fields, tensors)
        _check_choices(fields, config.architecture)
    found = _Found(index, config, tensors, Origin, tensorflow_folder.is_trunk)
    return _with_tokens(path, config, found.weights(), found.unused())


def _with_tokens(
    path: Path, config: ModelConfig, weights: dict[str, FloatArray], unused: list[str]
) -> Checkpoint:
    """Add the vocabulary of a folder that is not nlpkit's own."""
    file, vocabulary, lower_case = read_tokens(path)
    _check_vocabulary(vocabulary, config, file)
    return Checkpoint(config, vocabulary, weights, lower_case, path, unused)


@dataclass(frozen=True)
class _Found:
    """The variables of a file, and where each canonical weight is among them."""

    file: Path
    config: ModelConfig
    tensors: Mapping[str, AnyArray]
    origin: Callable[[str], Origin]
    is_trunk: Callable[[str], bool]

    def shapes(self) -> Shapes:
        """Return what is to be read: the transformer, and those of the two heads that are whole."""
        shapes = expected_weights(self.config)
        for head in (pooler_weights(self.config), mlm_weights(self.config)):
            if all(self.origin(name).name in self.tensors for name in head):
                shapes |= head
        return shapes

    def weights(self) -> dict[str, FloatArray]:
        """Read them."""
        weights = {}
        for name, shape in self.shapes().items():
            origin = self.origin(name)
            array = origin.read(self.tensors) if origin.name in self.tensors else None
            weights[name] = _checked(array, origin.name, shape, self.file)
        return weights

    def unused(self, copies: Set[str] = frozenset()) -> list[str]:
        """Return the names of all other variables, in order.

        Raises:
            ModelError: one of them cannot be left out.
        """
        used = {self.origin(name).name for name in self.shapes()} | copies
        rest = sorted(self.tensors.keys() - used)
        for name in rest:
            if self.is_trunk(name) and unused_reason(name, self.config.num_hidden_layers) == OTHER:
                raise ModelError(
                    f"{self.file}: {name} is a weight that {self.config.architecture} does not have",
                    hint="the config may be that of another model, or its architecture is not supported",
                )
        return rest


def _checked(array: AnyArray | None, name: str, shape: tuple[int, ...], file: Path) -> FloatArray:
    """Return a weight as float32 in C order."""
    if array is None:
        raise ModelError(
            f"{file}: no weight {name}, of shape {shape}", hint="the config may be that of another model"
        )
    if array.shape != shape:
        raise ModelError(
            f"{file}: {name} has shape {array.shape}, but the config asks for {shape}",
            hint="config, vocabulary and weights must be those of one model",
        )
    if array.dtype.kind != "f":
        raise ModelError(f"{file}: {name} holds {array.dtype} and not floating-point numbers")
    with np.errstate(over="ignore"):
        weight = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(weight).all():
        raise ModelError(f"{file}: {name} has values that are not finite", hint="the model is damaged")
    return weight


def _check_vocabulary(vocabulary: list[str], config: ModelConfig, file: Path) -> None:
    if len(vocabulary) != config.vocab_size:
        raise ModelError(
            f"{file}: {len(vocabulary):,} tokens, but the model has {config.vocab_size:,}",
            hint="it must be the vocabulary that the model was trained with",
        )
    if vocabulary[0] != "[PAD]":
        raise ModelError(
            f"{file}: token 0 is {vocabulary[0]!r}, and must be [PAD]",
            hint="only models that pad with token 0 can be used",
        )


def _check_choices(fields: Mapping[str, Any], architecture: str) -> None:
    """Refuse a config that asks for other computations than those of this program."""
    for name, only in _ONLY.items():
        value = fields.get(name)
        if value is not None and value != only:
            raise ModelError(f"{name} is {value!r}, and only {only!r} is supported")
    epsilon = fields.get("layer_norm_eps", fields.get("layer_norm_epsilon"))
    lowest, highest = (1e-5, 1e-5) if architecture == "gpt2" else (0, _HIGHEST_EPSILON)
    if epsilon is not None and not (isinstance(epsilon, int | float) and lowest <= epsilon <= highest):
        only = lowest or 1e-12
        raise ModelError(f"its LayerNorm adds {epsilon!r}, and only {only} is supported for {architecture}")


@contextmanager
def _at(place: Path) -> Iterator[None]:
    """Put a path in front of an error's message."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{place}: {error}", hint=error.hint) from None
