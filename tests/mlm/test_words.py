"""Word starts from a lexicon, token by token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import InputError
from nlpkit.mlm.words import WordTokens, plain_tokens

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, *"新能源车很好。か", "##な", "iphone", "##12", "co", "##vi", "##d", "19", "[unused1]"]
TOKENIZER = Tokenizer(VOCABULARY, lower_case=True)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "lexicon.txt"
    path.write_text("新能源 50\n新 1\n能源 1\n车 9\n很 9\n好 9\nか 99\nな 99\n", "utf-8")
    return WordTokens(TOKENIZER, path)


def marked(tokens, text):
    """The text with a bar before each word."""
    ids, marks = tokens(text)
    return "".join(
        "|" * mark + TOKENIZER.id_to_token[number] for number, mark in zip(ids, marks, strict=True)
    )


def test_each_word_of_the_lexicon_has_one_start(tokens):
    assert marked(tokens, "新能源车很好。") == "|新能源|车|很|好|。"


def test_pieces_of_a_word_belong_to_it(tokens):
    assert marked(tokens, "iPhone12 很好") == "|iphone##12|很|好"
    assert marked(tokens, "COVID-19") == "|co##vi##d|[UNK]|19"
    assert marked(tokens, "かな车") == "|か##な|车"  # to the lexicon two words


def test_what_no_token_shows_shifts_nothing(tokens):
    assert marked(tokens, " \u200b新\u0301能 源\t车") == marked(tokens, "新\u0301能 源 车")
    assert marked(tokens, "\u3000新能源\u3000\u3000车") == "|新能源|车"


def test_an_empty_line_has_no_tokens(tokens):
    assert tokens("") == ([], [])


@given(
    st.text(alphabet=st.one_of(st.sampled_from("新能源车很好。iPhone12 \t#"), st.characters()), max_size=40)
)
def test_any_text_has_one_mark_a_token_and_begins_with_a_word(tokens, text):
    ids, marks = tokens(text)
    assert ids == TOKENIZER.ids(text)
    assert len(marks) == len(ids)
    assert not marks or marks[0]


def test_without_a_lexicon_there_are_no_words():
    ids, marks = plain_tokens(TOKENIZER)("新车")
    assert (TOKENIZER.decode(ids), marks) == ("新车", None)


def test_a_bad_lexicon_is_named(tmp_path):
    (tmp_path / "lexicon.txt").write_text('{"word": "新"}\n', "utf-8")
    with pytest.raises(InputError, match=r"lexicon\.txt:1"):
        WordTokens(TOKENIZER, tmp_path / "lexicon.txt")
