"""Opening a model: every form of folder, each architecture, and what is wrong with a folder."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from nlpkit.bert.checkpoint import open_checkpoint
from nlpkit.bert.config import ARCHITECTURES
from nlpkit.errors import ModelError
from nlpkit.models import Manifest, save_model

FOLDERS = Path(__file__).parents[3] / "shared/models"
NSP = ["cls/seq_relationship/output_bias", "cls/seq_relationship/output_weights"]


@pytest.fixture
def write(tmp_path, write_bundle, write_vocabulary):
    """Write a TensorFlow folder: write(config, arrays, **other fields of the config)."""

    def make(config, arrays, file="bert_config.json", checkpoint="bert_model.ckpt", **fields):
        write_vocabulary(tmp_path)
        known = {**config.to_json(), **fields}
        if config.architecture != "nezha":  # as in published configs
            del known["max_relative_position"]
        (tmp_path / file).write_text(json.dumps(known))
        write_bundle(tmp_path / checkpoint, arrays)
        return tmp_path

    return make


@pytest.fixture
def folder(write, random_model):
    """A BERT with everything in place."""
    return write(*random_model("bert"))


def refused(folder, *words):
    with pytest.raises(ModelError) as caught:
        open_checkpoint(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)
    return caught.value


def same(found, weights):
    assert found.keys() == weights.keys()
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tells_the_architecture_of_a_tensorflow_checkpoint(write, random_model, architecture):
    config, weights = random_model(architecture)
    checkpoint = open_checkpoint(write(config, weights))
    assert checkpoint.config == config
    same(checkpoint.weights, weights)
    assert checkpoint.unused == []
    assert checkpoint.has_mlm_head == (architecture not in ("gpt", "gpt2"))
    assert checkpoint.manifest is None


def test_a_position_embedding_is_no_nezhas_even_if_its_config_says_so(write, random_model):
    config, weights = random_model("bert")
    assert open_checkpoint(write(config, weights, use_relative_position=False)).config.architecture == "bert"
    refused(write(config, weights, use_relative_position=True), "position_embeddings", "nezha does not have")


def test_a_gpt_without_segments_needs_no_word_of_it(write, random_model):
    config, weights = random_model("gpt", type_vocab_size=0)
    folder = write(config, weights, type_vocab_size=None)
    fields = json.loads((folder / "bert_config.json").read_text())
    del fields["type_vocab_size"]
    (folder / "bert_config.json").write_text(json.dumps(fields))
    assert open_checkpoint(folder).config.type_vocab_size == 0


def test_optimizer_state_and_other_heads_are_listed_and_left_out(write, random_model):
    config, weights = random_model("bert")
    slots = {f"{name}/{slot}": array for name, array in weights.items() for slot in ("adam_m", "adam_v")}
    others = {"global_step": np.array(7), "output_weights": np.ones((2, 12)), "loss/crf": np.ones(2)}
    others |= {name: np.ones(2) for name in NSP}
    checkpoint = open_checkpoint(write(config, {**weights, **slots, **others}))
    same(checkpoint.weights, weights)
    assert set(checkpoint.unused) == slots.keys() | others.keys()


def test_other_floats_become_float32(write, random_model):
    config, weights = random_model("bert")
    wide = {
        **weights,
        "cls/predictions/output_bias": np.full(30, 1 / 3),
        "bert/pooler/dense/bias": np.ones(12, "<f2"),
    }
    checkpoint = open_checkpoint(write(config, wide))
    assert {array.dtype for array in checkpoint.weights.values()} == {np.dtype("f4")}
    assert checkpoint.weights["cls/predictions/output_bias"][0] == np.float32(1 / 3)


@pytest.mark.parametrize(
    "file",
    ["albert_config.json", "nezha_config.json", "gpt_config.json", "config.json", "albert_config_tiny.json"],
)
def test_a_config_may_have_several_names(write, random_model, file):
    config, weights = random_model("bert")
    assert open_checkpoint(write(config, weights, file=file)).config == config


def test_of_several_checkpoints_the_one_that_was_noted_last_is_read(write, random_model):
    config, weights = random_model("bert")
    folder = write(config, {name: array * 2 for name, array in weights.items()}, checkpoint="model.ckpt-200")
    write(config, weights, checkpoint="model.ckpt-1000")
    error = refused(folder, "2 checkpoints", "model.ckpt-1000.index")
    assert "leave one" in error.hint
    note = (
        'model_checkpoint_path: "/old/place/model.ckpt-1000"\nall_model_checkpoint_paths: "model.ckpt-200"\n'
    )
    (folder / "checkpoint").write_text(note)
    same(open_checkpoint(folder).weights, weights)
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-3"\n')
    refused(folder, "2 checkpoints")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda weights: weights.pop("bert/embeddings/LayerNorm/beta"),
            "no weight bert/embeddings/LayerNorm/beta",
        ),
        (
            lambda weights: weights.pop("bert/encoder/layer_1/output/dense/kernel"),
            "no weight bert/encoder/layer_1",
        ),
        (
            lambda weights: weights.update({"bert/embeddings/word_embeddings": np.ones((29, 12))}),
            "bert/embeddings/word_embeddings has shape (29, 12), but the config asks for (30, 12)",
        ),
        (
            lambda weights: weights.update({"bert/embeddings/LayerNorm/beta": np.full(12, 1e300)}),
            "bert/embeddings/LayerNorm/beta has values that are not finite",
        ),
        (
            lambda weights: weights.update({"bert/embeddings/LayerNorm/beta": np.ones(12, "<i8")}),
            "bert/embeddings/LayerNorm/beta holds int64",
        ),
        (
            lambda weights: weights.update({"bert/encoder/layer_0/adapter/kernel": np.ones(3)}),
            "bert/encoder/layer_0/adapter/kernel is a weight that bert does not have",
        ),
        (
            lambda weights: weights.update({"_CHECKPOINTABLE_OBJECT_GRAPH": np.ones(1)}),
            "its variables have no names",
        ),
    ],
)
def test_a_weight_that_is_missing_or_does_not_fit_is_named(write, random_model, change, words):
    config, weights = random_model("bert")
    change(weights)
    error = refused(write(config, weights), "bert_model.ckpt.index", words)
    assert error.hint or "int64" in words


def test_a_config_of_another_model_is_refused(write, random_model):
    config, weights = random_model("bert")
    folder = write(dataclasses.replace(config, intermediate_size=21), weights)
    refused(folder, "has shape", "but the config asks for")
    refused(write(config, weights, hidden_size="12"), "bert_config.json", "hidden_size")
    refused(write(config, weights, num_hidden_groups=2), "bert_config.json", "num_hidden_groups is 2")
    refused(write(config, weights, shared_segment_embeddings=True), "shared_segment_embeddings")
    (folder / "bert_config.json").unlink()
    refused(folder, "no config")


@pytest.mark.parametrize("number", [29, 31])
def test_a_vocabulary_of_another_size_is_refused(folder, write_vocabulary, number):
    write_vocabulary(folder, ["[PAD]", *map(str, range(number - 1))])
    refused(folder, "vocab.txt", f"{number} tokens, but the model has 30")


def test_padding_must_be_token_0(folder, write_vocabulary):
    write_vocabulary(folder, ["[UNK]", "[PAD]", *map(str, range(28))])
    refused(folder, "vocab.txt", "token 0 is '[UNK]', and must be [PAD]")


def test_a_folder_without_vocabulary_is_refused(folder):
    (folder / "vocab.txt").unlink()
    refused(folder, "no vocab.txt")


def test_a_folder_without_model_is_refused(tmp_path):
    assert "config.json" in refused(tmp_path, "no model is there").hint
    (tmp_path / "vocab.txt").touch()
    (tmp_path / "model.safetensors").touch()
    refused(tmp_path, "no model is there")
    refused(tmp_path / "vocab.txt", "no such folder")
    refused(tmp_path / "absent", "no such folder")


def test_unsharing_copies_the_group_into_every_layer(write, random_model):
    config, weights = random_model("albert", embedding_size=8, num_hidden_layers=3)
    shared = open_checkpoint(write(config, weights))
    alone = shared.unshared()
    assert alone.config == dataclasses.replace(config, architecture="bert")
    _, expected = random_model("bert", embedding_size=8, num_hidden_layers=3)
    assert {name: array.shape for name, array in alone.weights.items()} == {
        name: array.shape for name, array in expected.items()
    }
    group = "bert/encoder/transformer/group_0/inner_group_0"
    for n in range(3):
        layer = f"bert/encoder/layer_{n}"
        for ours, theirs in [
            ("attention/self/key/kernel", "attention_1/self/key/kernel"),
            ("attention/output/dense/kernel", "attention_1/output/dense/kernel"),
            ("attention/output/LayerNorm/gamma", "LayerNorm/gamma"),
            ("intermediate/dense/bias", "ffn_1/intermediate/dense/bias"),
            ("output/dense/kernel", "ffn_1/intermediate/output/dense/kernel"),
            ("output/LayerNorm/beta", "LayerNorm_1/beta"),
        ]:
            assert np.array_equal(alone.weights[f"{layer}/{ours}"], weights[f"{group}/{theirs}"])
    same(
        {name: alone.weights[name] for name in weights if group not in name},
        {name: array for name, array in weights.items() if group not in name},
    )
    alone.weights["bert/encoder/layer_0/output/dense/bias"][:] = 9
    assert not (alone.weights["bert/encoder/layer_1/output/dense/bias"] == 9).any()
    same(shared.weights, weights)
    with pytest.raises(ModelError, match="shares no weights"):
        alone.unshared()


@pytest.fixture
def own(tmp_path, random_model):
    """A folder of nlpkit's own, with a head that no architecture knows, and its weights."""
    config, weights = random_model("roformer", pooler=False)
    weights["tags/kernel"] = np.ones((12, 4), "f4")
    tokens = ["[PAD]", "A", *map(str, range(28))]
    manifest = Manifest(
        name="m", task="mlm", architecture="roformer", config=config.to_json(), tokenizer={"lower_case": True}
    )
    save_model(tmp_path / "m", manifest, tokens, weights, "card")
    return tmp_path / "m", config, tokens, weights


def test_opens_nlpkits_own_folder_with_all_its_heads(own):
    folder, config, tokens, weights = own
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.config, checkpoint.vocabulary) == (config, tokens)
    same(checkpoint.weights, weights)
    assert checkpoint.lower_case is True
    assert checkpoint.has_mlm_head
    assert checkpoint.manifest.name == "m"
    assert checkpoint.source == folder
    assert checkpoint.unused == []


def test_its_own_folder_is_verified(own):
    folder, *_ = own
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    refused(folder, "model.safetensors: changed")


def test_its_own_folder_must_have_the_weights_of_its_config(own, tmp_path):
    _, config, tokens, weights = own

    def saved(config, weights, tokens=tokens):
        manifest = Manifest("m", "mlm", "roformer", config, {"lower_case": True})
        save_model(tmp_path / "m", manifest, tokens, weights, "card", force=True)
        return tmp_path / "m"

    fields = config.to_json()
    fewer = {name: array for name, array in weights.items() if "layer_1/output/dense" not in name}
    refused(saved(fields, fewer), "model.safetensors", "no weight bert/encoder/layer_1/output/dense")
    refused(saved({**fields, "intermediate_size": 21}, weights), "model.safetensors", "has shape")
    other = {**weights, "cls/predictions/output_bias": np.ones(29, "f4")}
    refused(saved(fields, other), "cls/predictions/output_bias has shape (29,)")
    refused(saved({**fields, "hidden_act": "swish"}, weights), "nlpkit.json", "unknown activation 'swish'")
    refused(saved(fields, weights, tokens[:-1]), "vocab.txt", "29 tokens")


@pytest.mark.parametrize(
    ("name", "architecture", "layers", "unused"),
    [
        ("albert-small-zh", "albert", 6, NSP),
        ("albert-tiny-zh", "albert", 4, []),
        ("simbert-tiny-zh", "bert", 4, []),
    ],
)
def test_published_checkpoints_are_read_to_the_last_variable(name, architecture, layers, unused):
    folder = FOLDERS / name
    if not folder.is_dir():
        pytest.skip(f"../shared/models/{name} is absent")
    checkpoint = open_checkpoint(folder)
    config = checkpoint.config
    assert (config.architecture, config.num_hidden_layers) == (architecture, layers)
    assert config.embedding_size == 128
    assert checkpoint.has_mlm_head
    assert checkpoint.lower_case
    assert checkpoint.unused == unused
    assert len(set(checkpoint.vocabulary)) == config.vocab_size
    parameters = sum(math.prod(array.shape) for array in checkpoint.weights.values())
    (data,) = folder.glob("*.data-00000-of-00001")
    doubles = config.vocab_size * 129 if name == "simbert-tiny-zh" else 0  # two of its variables are float64
    nsp = 2 * config.hidden_size + 2 if unused else 0
    assert 4 * (parameters + doubles + nsp) == data.stat().st_size
