"""The models that ship are whole, small, and know what they were trained for."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nlpkit.bert.checkpoint import open_checkpoint
from nlpkit.bert.encoder import GRAPH, open_masked_lm
from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.models import CARD, read_manifest, verify

SHIPPED = Path(__file__).parents[1] / "models"
FOLDERS = sorted(SHIPPED.iterdir())
LARGEST = 20_000_000  # bytes of a file

CLOZES = [
    ("中华人民共和_成立七十周年", "国"),
    ("全国人民代表大_在北京召开", "会"),
    ("推动经济高质量发_", "展"),
    ("今年上半年，我国进出口总额同比增_百分之五", "长"),
    ("打开终_，输入命令", "端"),
    ("这个问题很重_", "要"),
]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_shipped_model_is_whole_and_has_a_card(folder):
    manifest = read_manifest(folder)
    verify(folder, manifest)
    assert manifest.name == folder.name
    assert (folder / CARD).read_text("utf-8").startswith(f"# {folder.name}\n")
    assert all(path.stat().st_size <= LARGEST for path in folder.iterdir())
    assert "imported_from" not in manifest.training


@pytest.fixture(scope="module")
def mlm():
    return open_checkpoint(SHIPPED / "mlm-zh-tiny")


def ask(checkpoint, text):
    """Return the row of a cloze, and the place of the hidden token."""
    tokenizer = Tokenizer(checkpoint.vocabulary, lower_case=checkpoint.lower_case)
    row = [tokenizer.start_id, *tokenizer.ids(text.replace("_", "我")), tokenizer.end_id]
    place = 1 + text.index("_")
    row[place] = tokenizer.mask_id
    return np.array([row]), np.array([[place]])


def test_the_masked_lm_knows_common_words(mlm):
    guess = open_masked_lm(mlm)
    found = [mlm.vocabulary[guess(*ask(mlm, text))[0, 0].argmax()] for text, _ in CLOZES]
    assert sum(own == right for own, (_, right) in zip(found, CLOZES, strict=True)) >= 5, found


def test_the_graph_that_ships_is_that_of_the_weights(mlm):
    assert GRAPH in mlm.manifest.files
    rows = ask(mlm, CLOZES[3][0])
    made = open_masked_lm(dataclasses.replace(mlm, manifest=None))
    np.testing.assert_allclose(open_masked_lm(mlm)(*rows), made(*rows), atol=1e-3)
