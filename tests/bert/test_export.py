"""ONNX files: alone, and beside the weights of a model directory."""

import json
import os
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from nlpkit import models
from nlpkit.bert import export, onnx_runtime
from nlpkit.bert.checkpoint import open_checkpoint
from nlpkit.bert.encoder import open_encoder, open_masked_lm
from nlpkit.bert.export import export_onnx
from nlpkit.errors import ModelError, OutputError

TOKENS = np.array([[2, 7, 9, 7, 3], [2, 8, 3, 0, 0]])
POSITIONS = np.array([[1], [2]])


@pytest.fixture
def saved(tmp_path, random_model):
    """Make a model directory: saved(architecture="bert", dtype="float32", **sizes) -> folder."""

    def make(architecture="bert", dtype="float32", mlm=True, **sizes):
        config, weights = random_model(architecture, mlm=mlm, **sizes)
        weights = {name: array * np.float32(0.3) for name, array in weights.items()}
        manifest = models.Manifest("small", "mlm", architecture, config.to_json(), {"lower_case": False})
        tokens = ["[PAD]", *map(str, range(config.vocab_size - 1))]
        folder = tmp_path / "models" / "small"
        models.save_model(folder, manifest, tokens, weights, "A card.", dtype=dtype)
        return folder

    return make


@pytest.fixture
def no_builder(monkeypatch):
    """Let any attempt to build a graph fail."""
    return lambda: monkeypatch.setitem(sys.modules, "nlpkit.bert.graph", None)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("architecture", ["bert", "albert", "nezha", "roformer", "gpt", "gpt2"])
def test_a_directory_with_a_graph_runs_anywhere_and_holds_its_weights_once(
    saved, tmp_path, no_builder, architecture, dtype
):
    folder = saved(architecture, dtype)
    checkpoint = open_checkpoint(folder)
    hidden = open_encoder(checkpoint)(TOKENS)
    scores = open_masked_lm(checkpoint)(TOKENS, POSITIONS)
    before = (folder / "model.safetensors").read_bytes()
    export_onnx(checkpoint, folder / "model.onnx")
    assert (folder / "model.safetensors").read_bytes() == before
    graph = onnx.load(folder / "model.onnx", load_external_data=False)
    names = {t.name: t for t in graph.graph.initializer if not t.name.startswith("constant")}
    assert names.keys() <= models.weight_shapes(folder / "model.safetensors").keys()
    assert all(t.data_location == onnx.TensorProto.EXTERNAL and not t.raw_data for t in names.values())

    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder, elsewhere)
    no_builder()
    moved = open_checkpoint(elsewhere)
    np.testing.assert_allclose(open_encoder(moved)(TOKENS), hidden, atol=1e-6)
    np.testing.assert_allclose(open_encoder(moved, layer=2)(TOKENS), hidden, atol=1e-6)
    np.testing.assert_allclose(open_masked_lm(moved)(TOKENS, POSITIONS), scores, atol=1e-6)


def test_what_the_graph_of_the_directory_does_not_give_is_built(saved):
    folder = saved()
    checkpoint = open_checkpoint(folder)
    first = open_encoder(checkpoint, layer=1)(TOKENS)
    export_onnx(checkpoint, folder / "model.onnx")
    np.testing.assert_array_equal(open_encoder(open_checkpoint(folder), layer=1)(TOKENS), first)


def test_a_directory_keeps_its_other_files_and_its_manifest_lists_the_graph(saved):
    folder = saved()
    (folder / "log.jsonl").write_text("{}\n")
    export_onnx(open_checkpoint(folder), folder / "model.onnx")
    manifest = models.read_manifest(folder)
    models.verify(folder, manifest)
    assert manifest.files["model.onnx"].bytes == (folder / "model.onnx").stat().st_size
    assert manifest.training == {"model.onnx": "float32"}
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "log.jsonl",
        "model.onnx",
        "model.safetensors",
        "nlpkit.json",
        "vocab.txt",
    }


def test_int8_in_a_directory_is_named_in_the_manifest_and_taken_from_there(saved, no_builder):
    sizes = {"hidden_size": 48, "intermediate_size": 192}
    folder = saved(**sizes)
    exact = open_encoder(open_checkpoint(folder))(TOKENS)
    export_onnx(open_checkpoint(folder), folder / "model.onnx", quantize="int8")
    assert models.read_manifest(folder).training == {"model.onnx": "int8"}
    no_builder()
    rounded = open_encoder(open_checkpoint(folder))(TOKENS)
    assert 1e-4 < np.abs(rounded - exact).mean() / np.abs(exact).mean() < 0.1


def test_a_graph_can_be_replaced(saved):
    folder = saved()
    for kind in ("int8", None):
        export_onnx(open_checkpoint(folder), folder / "model.onnx", quantize=kind)
    models.verify(folder, models.read_manifest(folder))
    assert models.read_manifest(folder).training == {"model.onnx": "float32"}


def test_a_file_holds_all_that_another_program_needs(saved, tmp_path, monkeypatch):
    folder = saved()
    expected = open_masked_lm(open_checkpoint(folder))(TOKENS, POSITIONS)
    out = tmp_path / "out" / "other.onnx"
    out.parent.mkdir()
    export_onnx(open_checkpoint(folder), out)
    assert "model.onnx" not in os.listdir(folder)
    shutil.rmtree(folder)
    monkeypatch.chdir(tmp_path)
    session = onnxruntime.InferenceSession("out/other.onnx", providers=["CPUExecutionProvider"])
    inputs = {"token_ids": TOKENS, "segment_ids": np.zeros_like(TOKENS), "positions": POSITIONS}
    np.testing.assert_allclose(session.run(["logits"], inputs)[0], expected, atol=1e-6)
    onnx.checker.check_model(str(out), full_check=True)


def test_an_int8_file_is_a_quarter_of_the_size(saved, tmp_path):
    sizes = {"vocab_size": 500, "hidden_size": 96, "intermediate_size": 384}
    checkpoint = open_checkpoint(saved(**sizes))
    plain, int8 = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
    export_onnx(checkpoint, plain)
    export_onnx(checkpoint, int8, quantize="int8")
    assert int8.stat().st_size < 0.32 * plain.stat().st_size


def test_the_same_model_gives_the_same_bytes(saved, tmp_path):
    checkpoint = open_checkpoint(saved())
    for kind in (None, "int8"):
        files = [tmp_path / f"{number}.onnx" for number in range(2)]
        for file in files:
            export_onnx(checkpoint, file, quantize=kind)
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_model_without_a_head_gives_hidden_states_only(saved, tmp_path):
    export_onnx(open_checkpoint(saved(mlm=False)), tmp_path / "a.onnx")
    graph = onnx.load(tmp_path / "a.onnx").graph
    assert [item.name for item in graph.output] == ["hidden"]
    assert [item.name for item in graph.input] == ["token_ids", "segment_ids"]


@pytest.mark.parametrize("step", [0, 1, 2])
def test_an_export_that_fails_leaves_a_model_that_opens(saved, monkeypatch, step):
    folder = saved()
    export_onnx(open_checkpoint(folder), folder / "model.onnx")
    checkpoint = open_checkpoint(folder)
    replace, steps = os.replace, iter(range(9))

    def full_disk(source, target):
        if next(steps) == step:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(export.os, "replace", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        export_onnx(checkpoint, folder / "model.onnx", quantize="int8")
    models.verify(folder, models.read_manifest(folder))
    assert not any(path.name.endswith(".part") for path in folder.iterdir())
    open_encoder(open_checkpoint(folder))(TOKENS)


def test_refuses_what_it_cannot_write(saved, tmp_path, monkeypatch):
    checkpoint = open_checkpoint(saved())
    with pytest.raises(OutputError, match=r"absent/a\.onnx: cannot write"):
        export_onnx(checkpoint, tmp_path / "absent" / "a.onnx")
    with pytest.raises(ValueError, match="int4"):
        export_onnx(checkpoint, tmp_path / "a.onnx", quantize="int4")
    monkeypatch.setattr(export, "_MOST_BYTES", 1000)
    with pytest.raises(ModelError, match="2 GB") as caught:
        export_onnx(checkpoint, tmp_path / "a.onnx")
    assert "int8" in caught.value.hint
    assert not (tmp_path / "a.onnx").exists()


def damage_garbage(folder):
    (folder / "model.onnx").write_bytes(b"no graph" * 100)


def damage_truncate(folder):
    data = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(data[: len(data) // 2])


def damage_remove(folder):
    (folder / "model.onnx").unlink()


def damage_weights(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def damage_operator(folder):
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    model.graph.node[3].op_type = "Nonsense"
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "damage", [damage_garbage, damage_truncate, damage_remove, damage_weights, damage_operator]
)
def test_a_damaged_graph_is_one_line_with_a_way_out(saved, capfd, damage):
    folder = saved()
    export_onnx(open_checkpoint(folder), folder / "model.onnx")
    checkpoint = open_checkpoint(folder)
    damage(folder)
    with pytest.raises(ModelError) as caught:
        open_encoder(checkpoint)
    assert str(folder / "model.onnx") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert capfd.readouterr().err == ""
    with pytest.raises(ModelError):
        open_checkpoint(folder)


def test_a_graph_with_other_outputs_is_open_to_heads_of_their_own(tmp_path, random_model):
    from nlpkit.bert.graph import encode
    from nlpkit.bert.graph_builder import GraphBuilder, embedded

    config, weights = random_model("bert")
    weights |= {"head/kernel": np.ones((12, 2), "f4"), "head/bias": np.array([0, 5], "f4")}
    graph = GraphBuilder(embedded(weights))
    graph.output("scores", graph.linear(encode(graph, config), "head"), "batch", "length", 2)
    model = onnx_runtime.OnnxModel(graph.model().SerializeToString())
    got = model.run("scores", token_ids=TOKENS, segment_ids=np.zeros_like(TOKENS))
    assert got.shape == (2, 5, 2)
    np.testing.assert_allclose(got[..., 1] - got[..., 0], 5, atol=1e-4)


def test_the_manifest_stays_readable_json(saved):
    folder = saved()
    before = json.loads((folder / "nlpkit.json").read_text("utf-8"))
    export_onnx(open_checkpoint(folder), folder / "model.onnx")
    after = json.loads((folder / "nlpkit.json").read_text("utf-8"))
    assert list(after) == list(before)
    assert after["config"] == before["config"]
