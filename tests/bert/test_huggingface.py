"""Hugging Face folders: each architecture's form gives the same canonical weights."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from nlpkit.bert.checkpoint import open_checkpoint
from nlpkit.errors import ModelError

CONFIG = {
    "vocab_size": 30,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 9,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "pad_token_id": 0,
}
GPT2_CONFIG = {
    "model_type": "gpt2",
    "vocab_size": 30,
    "n_embd": 12,
    "n_layer": 2,
    "n_head": 3,
    "n_positions": 9,
    "n_inner": None,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "resid_pdrop": 0.1,
}


def linear(name, weights, canonical):
    return {f"{name}.weight": weights[f"{canonical}/kernel"].T, f"{name}.bias": weights[f"{canonical}/bias"]}


def norm(name, weights, canonical, gamma="weight", beta="bias"):
    return {f"{name}.{gamma}": weights[f"{canonical}/gamma"], f"{name}.{beta}": weights[f"{canonical}/beta"]}


def bert_form(weights, prefix="bert.", **leaves):
    """BERT, NEZHA and RoFormer, written out."""
    out = {f"{prefix}embeddings.word_embeddings.weight": weights["bert/embeddings/word_embeddings"]}
    for name in ("position_embeddings", "token_type_embeddings"):
        if f"bert/embeddings/{name}" in weights:
            out[f"{prefix}embeddings.{name}.weight"] = weights[f"bert/embeddings/{name}"]
    out |= norm(f"{prefix}embeddings.LayerNorm", weights, "bert/embeddings/LayerNorm", **leaves)
    if "bert/encoder/embedding_hidden_mapping_in/bias" in weights:
        mapping = "bert/encoder/embedding_hidden_mapping_in"
        out |= linear(f"{prefix}embeddings_project", weights, mapping)
    for n in range(2):
        theirs, ours = f"{prefix}encoder.layer.{n}", f"bert/encoder/layer_{n}"
        for part in ("query", "key", "value"):
            out |= linear(f"{theirs}.attention.self.{part}", weights, f"{ours}/attention/self/{part}")
        out |= linear(f"{theirs}.attention.output.dense", weights, f"{ours}/attention/output/dense")
        attention_norm = f"{ours}/attention/output/LayerNorm"
        out |= norm(f"{theirs}.attention.output.LayerNorm", weights, attention_norm, **leaves)
        out |= linear(f"{theirs}.intermediate.dense", weights, f"{ours}/intermediate/dense")
        out |= linear(f"{theirs}.output.dense", weights, f"{ours}/output/dense")
        out |= norm(f"{theirs}.output.LayerNorm", weights, f"{ours}/output/LayerNorm", **leaves)
    if "bert/pooler/dense/bias" in weights:
        out |= linear(f"{prefix}pooler.dense", weights, "bert/pooler/dense")
    if "cls/predictions/output_bias" in weights:
        root = prefix.removesuffix("bert.") if prefix.endswith("bert.") else ""
        head = f"{root}cls.predictions"
        out |= linear(f"{head}.transform.dense", weights, "cls/predictions/transform/dense")
        out |= norm(f"{head}.transform.LayerNorm", weights, "cls/predictions/transform/LayerNorm", **leaves)
        out[f"{head}.bias"] = weights["cls/predictions/output_bias"]
    return out


def albert_form(weights):
    ours = "bert/encoder/transformer/group_0/inner_group_0"
    theirs = "albert.encoder.albert_layer_groups.0.albert_layers.0"
    out = {
        f"albert.embeddings.{name}.weight": weights[f"bert/embeddings/{name}"]
        for name in ("word_embeddings", "position_embeddings", "token_type_embeddings")
    }
    out |= norm("albert.embeddings.LayerNorm", weights, "bert/embeddings/LayerNorm")
    mapping = "encoder.embedding_hidden_mapping_in"
    out |= linear(f"albert.{mapping}", weights, "bert/encoder/embedding_hidden_mapping_in")
    for part in ("query", "key", "value"):
        out |= linear(f"{theirs}.attention.{part}", weights, f"{ours}/attention_1/self/{part}")
    out |= linear(f"{theirs}.attention.dense", weights, f"{ours}/attention_1/output/dense")
    out |= norm(f"{theirs}.attention.LayerNorm", weights, f"{ours}/LayerNorm")
    out |= linear(f"{theirs}.ffn", weights, f"{ours}/ffn_1/intermediate/dense")
    out |= linear(f"{theirs}.ffn_output", weights, f"{ours}/ffn_1/intermediate/output/dense")
    out |= norm(f"{theirs}.full_layer_layer_norm", weights, f"{ours}/LayerNorm_1")
    out |= linear("albert.pooler", weights, "bert/pooler/dense")
    out |= linear("predictions.dense", weights, "cls/predictions/transform/dense")
    out |= norm("predictions.LayerNorm", weights, "cls/predictions/transform/LayerNorm")
    return {**out, "predictions.bias": weights["cls/predictions/output_bias"]}


def gpt2_form(weights):
    out = {
        "transformer.wte.weight": weights["gpt/embeddings/word_embeddings"],
        "transformer.wpe.weight": weights["gpt/embeddings/position_embeddings"],
        **norm("transformer.ln_f", weights, "gpt/output/LayerNorm"),
    }
    for n in range(2):
        theirs, ours = f"transformer.h.{n}", f"gpt/transformer/layer_{n}"
        for leaf, theirs_leaf in [("kernel", "weight"), ("bias", "bias")]:
            fused = [weights[f"{ours}/attention/self/{part}/{leaf}"] for part in ("query", "key", "value")]
            out[f"{theirs}.attn.c_attn.{theirs_leaf}"] = np.concatenate(fused, -1)
            out[f"{theirs}.attn.c_proj.{theirs_leaf}"] = weights[f"{ours}/attention/output/dense/{leaf}"]
            out[f"{theirs}.mlp.c_fc.{theirs_leaf}"] = weights[f"{ours}/intermediate/dense/{leaf}"]
            out[f"{theirs}.mlp.c_proj.{theirs_leaf}"] = weights[f"{ours}/output/dense/{leaf}"]
        out |= norm(f"{theirs}.ln_1", weights, f"{ours}/attention/input/LayerNorm")
        out |= norm(f"{theirs}.ln_2", weights, f"{ours}/input/LayerNorm")
    return out


@pytest.fixture
def write(tmp_path, write_vocabulary):
    """Write a folder: write(weights, **config)."""

    def make(weights, name="model.safetensors", **config):
        write_vocabulary(tmp_path)
        (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **config}))
        # save_file takes no views
        save_file({key: np.ascontiguousarray(array) for key, array in weights.items()}, tmp_path / name)
        return tmp_path

    return make


def opened(folder, weights):
    """Open a folder and make sure that it gives these weights."""
    checkpoint = open_checkpoint(folder)
    assert checkpoint.weights.keys() == weights.keys()
    for name, array in weights.items():
        assert np.array_equal(checkpoint.weights[name], array), name
        assert checkpoint.weights[name].flags.c_contiguous
    return checkpoint


def refused(folder, *words):
    with pytest.raises(ModelError) as caught:
        open_checkpoint(folder)
    for word in (str(folder), *words):
        assert word in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("kind", "sizes", "extra"),
    [
        ("bert", {}, {}),
        ("bert", {}, {"embedding_size": 8}),  # BERT's form has no such thing
        ("bert", {"intermediate_size": 12}, {}),  # square kernels, so that only values tell their direction
        ("nezha", {}, {"max_relative_position": 64}),
        ("roformer", {}, {"embedding_size": 12, "rotary_value": False}),
        ("roformer", {"embedding_size": 8}, {}),
    ],
)
def test_reads_the_family_of_bert(write, random_model, kind, sizes, extra):
    config, weights = random_model(kind, **sizes)
    folder = write(
        bert_form(weights, f"{kind}.") | {"cls.seq_relationship.bias": np.ones(2)},
        model_type=kind,
        **sizes,
        **extra,
    )
    checkpoint = opened(folder, weights)
    assert checkpoint.config.architecture == kind
    assert checkpoint.config.embedding_size == config.embedding_size
    assert checkpoint.config.hidden_dropout_prob == 0.1
    assert checkpoint.has_mlm_head
    assert checkpoint.unused == ["cls.seq_relationship.bias"]


def test_reads_albert(write, random_model):
    _, weights = random_model("albert", embedding_size=8)
    form = albert_form(weights)
    form["predictions.decoder.weight"] = form["albert.embeddings.word_embeddings.weight"]
    form["predictions.decoder.bias"] = form["predictions.bias"]
    form |= {"sop_classifier.classifier.weight": np.ones((2, 12))}
    folder = write(form, model_type="albert", embedding_size=8, hidden_act="gelu_new", num_hidden_groups=1)
    checkpoint = opened(folder, weights)
    assert checkpoint.config.hidden_act == "gelu_tanh"
    assert checkpoint.unused == ["sop_classifier.classifier.weight"]


@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_reads_gpt2_with_berts_vocabulary(write, random_model, prefix):
    _, weights = random_model("gpt2", intermediate_size=48)
    form = {name.replace("transformer.", prefix): array for name, array in gpt2_form(weights).items()}
    form[f"{prefix}h.0.attn.bias"] = np.ones((1, 1, 9, 9))
    form["lm_head.weight"] = weights["gpt/embeddings/word_embeddings"]
    folder = write(form)
    (folder / "config.json").write_text(json.dumps(GPT2_CONFIG))
    checkpoint = opened(folder, weights)
    sizes = checkpoint.config
    assert (sizes.architecture, sizes.intermediate_size, sizes.type_vocab_size) == ("gpt2", 48, 0)
    assert (sizes.hidden_act, sizes.hidden_dropout_prob) == ("gelu_tanh", 0.1)
    assert checkpoint.unused == [f"{prefix}h.0.attn.bias"]
    assert not checkpoint.has_mlm_head


@pytest.mark.parametrize("prefix", ["", "module.bert.", "model.bert."])
def test_names_may_have_another_prefix_or_none(write, random_model, prefix):
    _, weights = random_model("bert", mlm=bool(prefix))
    opened(write(bert_form(weights, prefix), model_type="bert"), weights)


def test_reads_names_from_before_2019(write, random_model):
    _, weights = random_model("bert")
    opened(write(bert_form(weights, gamma="gamma", beta="beta")), weights)  # its config had no model_type


def test_an_old_config_leaves_the_architecture_to_the_names(write, random_model):
    _, weights = random_model("albert", embedding_size=8)
    assert opened(write(albert_form(weights), embedding_size=8), weights).config.architecture == "albert"


def test_half_precision_becomes_float32(write, random_model):
    _, weights = random_model("bert")
    halves = {name: array.astype("f2") for name, array in weights.items()}
    checkpoint = opened(write(bert_form(halves), model_type="bert"), halves)
    assert {array.dtype for array in checkpoint.weights.values()} == {np.dtype("f4")}


def test_reads_weights_in_parts(write, random_model):
    _, weights = random_model("bert")
    form = bert_form(weights)
    parts = [dict(list(form.items())[start::2]) for start in (0, 1)]
    folder = write(parts[0], "model-00001-of-00002.safetensors", model_type="bert")
    write(parts[1], "model-00002-of-00002.safetensors", model_type="bert")
    places = {name: f"model-0000{n}-of-00002.safetensors" for n, part in enumerate(parts, 1) for name in part}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    opened(folder, weights)
    (folder / "model-00002-of-00002.safetensors").unlink()
    refused(folder, "model-00002-of-00002.safetensors")
    for places in ({}, [], {"x": "../model.safetensors"}, {"x": 3}, {"x": []}, {"x": "model.h5"}):
        index.write_text(json.dumps({"weight_map": places}))
        refused(folder, "weight_map")


@pytest.mark.parametrize("in_parts", [False, True])
def test_reads_pytorch_files(tmp_path, write_vocabulary, write_torch, random_model, in_parts):
    _, weights = random_model("bert")
    form = bert_form(weights)
    write_vocabulary(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "model_type": "bert"}))
    if in_parts:
        for n in (0, 1):
            write_torch(tmp_path / f"part{n}.bin", dict(list(form.items())[n::2]))
        places = {name: f"part{number % 2}.bin" for number, name in enumerate(form)}
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    else:
        form["cls.predictions.decoder.weight"] = form["bert.embeddings.word_embeddings.weight"]
        write_torch(tmp_path / "pytorch_model.bin", form)
    opened(tmp_path, weights)


def test_a_pointer_of_git_lfs_is_named_as_such(write, random_model):
    folder = write(bert_form(random_model("bert")[1]), model_type="bert")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (folder / "model.safetensors").write_text(pointer)
    assert "git lfs pull" in refused(folder, "Git LFS pointer").hint


@pytest.mark.parametrize("name", ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"])
def test_an_output_that_is_not_tied_is_refused(write, random_model, name):
    _, weights = random_model("bert")
    form = bert_form(weights)
    tied = {"weight": "bert.embeddings.word_embeddings.weight", "bias": "cls.predictions.bias"}
    form[name] = form[tied[name.rpartition(".")[2]]].copy()
    opened(write(form, model_type="bert"), weights)
    form[name].flat[3] += 1e-3
    refused(write(form, model_type="bert"), name, "tied")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "roberta"}, "model_type 'roberta' is not supported"),
        ({"model_type": ["bert"]}, "is not supported"),
        ({"layer_norm_eps": 1e-5}, "LayerNorm adds 1e-05"),
        ({"layer_norm_eps": "1e-12"}, "LayerNorm"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"add_cross_attention": True}, "add_cross_attention is True"),
        ({"rotary_value": True}, "rotary_value is True"),
        ({"use_bias": False}, "use_bias is False"),
        ({"num_hidden_groups": 2}, "num_hidden_groups is 2"),
        ({"inner_group_num": 2}, "inner_group_num is 2"),
        ({"hidden_act": "quick_gelu"}, "unknown activation 'quick_gelu'"),
        ({"hidden_size": None}, "no hidden_size"),
        ({"num_attention_heads": 5}, "5 heads"),
    ],
)
def test_what_is_not_computed_here_is_refused_by_its_config(write, random_model, config, words):
    _, weights = random_model("bert")
    refused(write(bert_form(weights), **{"model_type": "bert", **config}), "config.json", words)


@pytest.mark.parametrize("shape", [(), (0,), (12,), (12, 35), (12, 37), (36, 12)])
def test_gpt2_with_a_fused_matrix_of_another_width_is_refused(write, random_model, shape):
    name = "transformer.h.1.attn.c_attn.weight"
    form = gpt2_form(random_model("gpt2", intermediate_size=48)[1]) | {name: np.ones(shape, "f4")}
    folder = write(form)
    (folder / "config.json").write_text(json.dumps(GPT2_CONFIG))
    refused(folder, f"{name} has shape")


def test_gpt2_with_another_epsilon_is_refused(write, random_model):
    folder = write(gpt2_form(random_model("gpt2", intermediate_size=48)[1]))
    (folder / "config.json").write_text(json.dumps({**GPT2_CONFIG, "layer_norm_epsilon": 1e-12}))
    refused(folder, "LayerNorm adds 1e-12, and only 1e-05")


@pytest.mark.parametrize(
    "name",
    [
        "bert.encoder.layer.0.crossattention.self.query.weight",
        "bert.embeddings.task_type_embeddings.weight",
        "bert.encoder.embedding_hidden_mapping_in.weight",
        "bert.pooler.norm.weight",
    ],
)
def test_a_weight_that_the_architecture_lacks_is_no_head_to_leave_out(write, random_model, name):
    _, weights = random_model("bert")
    refused(write(bert_form(weights) | {name: np.ones(2)}, model_type="bert"), name, "bert does not have")


def test_an_albert_that_maps_although_the_widths_are_equal_is_refused(write, random_model):
    _, weights = random_model("albert", embedding_size=8)
    _, equal = random_model("albert")
    form = albert_form({**weights, **equal})
    form["albert.encoder.embedding_hidden_mapping_in.weight"] = np.ones((12, 12))
    refused(
        write(form, model_type="albert", embedding_size=12), "embedding_hidden_mapping_in", "does not have"
    )


def test_layers_beyond_the_config_and_other_heads_are_left_out(write, random_model):
    _, weights = random_model("bert")
    more = ["bert.embeddings.position_ids", "bert.encoder.layer.2.output.dense.bias", "classifier.weight"]
    folder = write(bert_form(weights) | {name: np.ones(3) for name in more}, model_type="bert")
    assert opened(folder, weights).unused == more


def test_half_a_head_is_left_out(write, random_model):
    _, weights = random_model("bert")
    form = bert_form(weights)
    del form["cls.predictions.bias"]
    checkpoint = open_checkpoint(write(form, model_type="bert"))
    assert not checkpoint.has_mlm_head
    assert [name for name in checkpoint.weights if name.startswith("cls")] == []
    assert len(checkpoint.unused) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda form: form.pop("bert.pooler.dense.weight"), "bert.pooler.dense.bias is a weight that"),
        (
            lambda form: form.pop("bert.encoder.layer.1.output.dense.bias"),
            "no weight bert.encoder.layer.1.output.dense.bias",
        ),
        (
            lambda form: form.pop("bert.embeddings.word_embeddings.weight"),
            "no weights named embeddings.word_emb",
        ),
        (
            lambda form: form.update({"x.embeddings.word_embeddings.weight": np.ones(2)}),
            "2 weights named embeddings.word_embeddings.weight",
        ),
        (
            lambda form: form.update({"bert.embeddings.LayerNorm.bias": np.ones(7)}),
            "bert.embeddings.LayerNorm.bias has shape (7,), but the config asks for (12,)",
        ),
        (
            lambda form: form.update({"bert.embeddings.LayerNorm.bias": np.full(12, np.nan)}),
            "bert.embeddings.LayerNorm.bias has values that are not finite",
        ),
    ],
)
def test_a_weight_that_does_not_fit_is_named(write, random_model, change, words):
    form = bert_form(random_model("bert")[1])
    change(form)
    refused(write(form, model_type="bert"), "model.safetensors", words)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, b"\xff"])
def test_a_config_that_is_no_json_object_is_refused(write, random_model, content):
    folder = write(bert_form(random_model("bert")[1]))
    (folder / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(folder, "config.json")
