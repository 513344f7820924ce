"""The tokenizer against hand-worked examples and against a slow one that goes by the published rules."""

import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpkit.bert import tokenizer as module
from nlpkit.bert.tokenizer import Tokenizer, chunk_pattern, is_alone
from nlpkit.errors import ModelError

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["中", "文", "，", "[", "]", "=", "!", "ab", "##b", "a", "##a", "b", "##c", "abc", "20", "##22", "i"]
WORDS += [
    "##i",
    "mask",
    "cafe",
    "##s",
    "e",
    "##e",
    "ａ",
    "##ａ",
    "ᄀ",
    "##ᅡ",
    "😀",
    "ß",
    "σ",
    "##中",
    "#",
    "##\u0301",
]
VOCABULARY = SPECIAL + WORDS
CASED = [*VOCABULARY, "A", "##B", "é", "\u0301", "İ"]
UNCASED = Tokenizer(VOCABULARY, lower_case=True)

LETTERS = "aAbBcC2eéEßΣİｉａＡ가ᄀカガ゙ƀ〇😀©\u0301\u0308\ufe0f\u20e3\U000e0100"
OTHERS = "中文豈𠀀𰀀，。!=≠;[]##ªǅ\u037e \t\n\r\u3000\xa0\u2028\u2003\0\ufffd\x07\x85\u200b\u200d\ue000\ud800"
PARTS = [*LETTERS, *OTHERS, *WORDS, "中\u0301", "ab\u0301", "\u200b\u0301a", "2022", "[MASK]"]
TEXT = st.one_of(
    st.lists(st.sampled_from(PARTS), max_size=40).map("".join),
    st.text(max_size=20),
    st.text("aAbBc", min_size=95, max_size=105),
)


def tokens(text, tokenizer=UNCASED):
    """The tokens of a text, each with the stretch of text that it covers."""
    encoding = tokenizer.encode(text)
    return [
        (tokenizer.id_to_token[token_id], text[start:end])
        for token_id, start, end in zip(encoding.ids, encoding.starts, encoding.ends, strict=True)
    ]


def reference(text, vocabulary, lower_case):
    """Token ids by the rules as they were published: whole passes over the text, nothing remembered."""

    def punctuation(c):
        return c in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" or unicodedata.category(c)[0] == "P"

    cleaned = "".join(
        " " if c in "\t\n\r" or unicodedata.category(c) in ("Zs", "Zl", "Zp") else c
        for c in text
        if c in "\t\n\r" or not (c in "\0\ufffd" or unicodedata.category(c) in ("Cc", "Cf"))
    )
    blocks = [(0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)]
    ids = []
    for word in "".join(
        f" {c} " if any(first <= ord(c) <= last for first, last in blocks) else c for c in cleaned
    ).split(" "):
        if lower_case:
            word = unicodedata.normalize("NFD", "".join(c.lower() for c in word))
            word = "".join(c for c in word if unicodedata.category(c) != "Mn")
        for part in "".join(f" {c} " if punctuation(c) else c for c in word).split():
            pieces, rest = [], part if len(part) <= 100 else ""
            while rest:
                mark = "##" if pieces else ""
                fitting = [end for end in range(1, len(rest) + 1) if mark + rest[:end] in vocabulary]
                if not fitting:
                    break
                pieces.append(vocabulary.index(mark + rest[: fitting[-1]]))
                rest = rest[fitting[-1] :]
            ids += pieces if pieces and not rest else [vocabulary.index("[UNK]")]
    return ids


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\u3000\xa0\u2028", []),
        ("中文，abc", [("中", "中"), ("文", "文"), ("，", "，"), ("abc", "abc")]),
        ("中 2022中", [("中", "中"), ("20", "20"), ("##22", "22"), ("中", "中")]),
        ("ABB AB!", [("ab", "AB"), ("##b", "B"), ("ab", "AB"), ("!", "!")]),
        ("[MASK]", [("[", "["), ("mask", "MASK"), ("]", "]")]),
        ("中x中", [("中", "中"), ("[UNK]", "x"), ("中", "中")]),
        ("abcx", [("[UNK]", "abcx")]),
    ],
)
def test_cuts_words_as_bert_does(text, expected):
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("文😀中", [("文", "文"), ("😀", "😀"), ("中", "中")]),
        ("👨\u200d👩中", [("[UNK]", "👨\u200d👩"), ("中", "中")]),
        ("Cafe\u0301s", [("cafe", "Cafe\u0301"), ("##s", "s")]),
        ("\u0301a\u0301\u0308b", [("ab", "a\u0301\u0308b")]),
        ("İİ中", [("i", "İ"), ("##i", "İ"), ("中", "中")]),
        ("Ａａ", [("ａ", "Ａ"), ("##ａ", "ａ")]),
        ("가", [("ᄀ", "가"), ("##ᅡ", "가")]),
        ("a≠b", [("a", "a"), ("=", "≠"), ("b", "b")]),
        ("中\ufe0fa", [("中", "中\ufe0f"), ("a", "a")]),
        ("\x07a\u200bb\u200b 中", [("ab", "a\u200bb"), ("中", "中")]),
        ("\ufffd\0", []),
        ("𠀀𠀀a", [("[UNK]", "𠀀"), ("[UNK]", "𠀀"), ("a", "a")]),
        ("Σ", [("σ", "Σ")]),
        ("xÉ\u0301 中", [("[UNK]", "xÉ\u0301"), ("中", "中")]),
        ("\ue000中", [("[UNK]", "\ue000"), ("中", "中")]),
    ],
)
def test_gives_places_in_the_text_as_given(text, expected):
    assert tokens(text) == expected


def test_keeps_case_and_accents_where_the_model_does():
    cased = Tokenizer(CASED, lower_case=False)
    text = "AB é é\u0301 İ 中\u0301a"
    assert tokens(text, cased) == [
        ("A", "A"),
        ("##B", "B"),
        ("é", "é"),
        ("é", "é"),
        ("##\u0301", "\u0301"),
        ("İ", "İ"),
        ("中", "中"),
        ("\u0301", "\u0301"),
        ("##a", "a"),
    ]


def test_does_not_cut_words_of_more_than_100_characters():
    assert len(UNCASED.ids("a" * 100)) == 100
    assert tokens("中" + "a" * 101) == [("中", "中"), ("[UNK]", "a" * 101)]
    assert len(UNCASED.ids("a\u0301" * 100)) == 100


@settings(max_examples=500)
@given(TEXT, st.booleans())
def test_agrees_with_the_published_rules(text, lower_case):
    assert Tokenizer(CASED, lower_case).ids(text) == reference(text, CASED, lower_case)


@given(TEXT, st.booleans())
def test_ids_are_those_of_encode(text, lower_case):
    tokenizer = Tokenizer(CASED, lower_case)
    assert tokenizer.ids(text) == tokenizer.encode(text).ids


@given(TEXT, st.booleans())
def test_tokens_cover_everything_but_dropped_characters_in_order(text, lower_case):
    encoding = Tokenizer(CASED, lower_case).encode(text)
    assert encoding.starts == sorted(encoding.starts)
    assert encoding.ends == sorted(encoding.ends)
    covered = set()
    for start, end in zip(encoding.starts, encoding.ends, strict=True):
        assert start < end
        covered.update(range(start, end))
        # A token neither begins with something that was dropped nor reaches over white space.
        assert unicodedata.category(text[start]) not in ("Cc", "Cf")
        assert not re.search(r"[ \t\n\r\u3000\u2028]", text[start:end])
    for place, character in enumerate(text):
        category = unicodedata.category(character)
        vanishes = category in ("Cc", "Cf", "Zs", "Zl", "Zp") or character == "\ufffd"
        if category != "Mn" or not lower_case:
            assert vanishes or place in covered


@given(st.lists(TEXT, max_size=8))
def test_a_full_cache_changes_nothing(texts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CACHED_PIECES", 2)
        tokenizer = Tokenizer(VOCABULARY, lower_case=True)
        for text in texts:
            assert tokenizer.ids(text) == Tokenizer(VOCABULARY, lower_case=True).ids(text)
        assert len(tokenizer._ids) <= 2


def test_the_pattern_knows_every_code_point():
    find = chunk_pattern(lower_case=True).findall
    for character in map(chr, range(sys.maxunicode + 1)):
        assert is_alone(character) == (find(character + "a") == [character, "a"])
        category = unicodedata.category(character)
        if category in ("Mn", "Zs", "Zl", "Zp"):
            assert find("中" + character + "a") == (
                ["中" + character, "a"] if category == "Mn" else ["中", "a"]
            )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("中文，ABB 2022 abc中", "中文，abb 2022 abc中"),
        ("a  b", "a b"),
        ("中 文", "中文"),
        ("[x", "[[UNK]"),
    ],
)
def test_decodes_to_readable_text(text, expected):
    assert UNCASED.decode(UNCASED.ids(text)) == expected


def test_decoding_leaves_out_padding_and_ends_but_shows_masks():
    named = UNCASED.token_to_id
    ids = [named[t] for t in ["[CLS]", "中", "[MASK]", "##中", "##b", "a", "[SEP]", "[PAD]", "[PAD]"]]
    assert UNCASED.decode(ids) == "中[MASK]中b a"


@pytest.mark.parametrize("token_id", [-1, len(VOCABULARY)])
def test_refuses_to_decode_ids_outside_the_vocabulary(token_id):
    with pytest.raises(IndexError):
        UNCASED.decode([token_id])


def test_knows_the_special_tokens():
    tokenizer = Tokenizer(["[PAD]", "a", "[SEP]", "[CLS]", "[UNK]"], lower_case=True)
    found = (tokenizer.pad_id, tokenizer.unknown_id, tokenizer.start_id, tokenizer.end_id, tokenizer.mask_id)
    assert found == (0, 4, 3, 2, None)
    assert UNCASED.mask_id == 4


@pytest.mark.parametrize("missing", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
def test_refuses_a_vocabulary_without_special_tokens(missing):
    with pytest.raises(ModelError, match=re.escape(missing)):
        Tokenizer([token for token in VOCABULARY if token != missing], lower_case=True)


def test_refuses_a_vocabulary_whose_padding_is_not_first():
    with pytest.raises(ModelError, match="begins with 'a'"):
        Tokenizer(["a", *SPECIAL], lower_case=True)
