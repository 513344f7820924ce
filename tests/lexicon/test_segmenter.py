import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nlpkit.lexicon.segmenter import LexiconSegmenter

ALPHABET = "中文分词，a "


def connected(text, words):
    """The longest connection, slowly: a cut between two characters unless a word covers both."""
    joined = set()
    for start in range(len(text)):
        for word in words:
            if len(word) > 1 and text.startswith(word, start):
                joined |= set(range(start + 1, start + len(word)))
    pieces, begin = [], 0
    for place in range(1, len(text) + 1):
        if place not in joined:
            pieces.append(text[begin:place])
            begin = place
    return pieces


@given(st.text("中文分词", max_size=30), st.lists(st.text("中文分词", min_size=1, max_size=4), max_size=6))
def test_connection_cuts_where_no_word_covers_both_sides(text, words):
    segmenter = LexiconSegmenter(dict.fromkeys(words, 1.0), connect=True)
    assert segmenter.cut([text]) == [connected(text, words)]


@given(
    st.lists(st.text(ALPHABET, max_size=12), max_size=5),
    st.dictionaries(
        st.text(ALPHABET, min_size=1, max_size=4).filter(str.strip), st.floats(0, 100), max_size=6
    ),
    st.booleans(),
)
def test_pieces_joined_give_every_line_again(lines, words, connect):
    cut = LexiconSegmenter(words, connect=connect).cut(lines)
    assert ["".join(pieces) for pieces in cut] == lines
    assert all(len(piece) > 0 for pieces in cut for piece in pieces)


def test_words_of_a_lexicon_are_found_where_they_are_likelier_than_others():
    segmenter = LexiconSegmenter({"北京": 50, "大学": 50, "北": 1, "京大": 1, "学": 1})
    assert segmenter.cut(["北京大学"]) == [["北京", "大学"]]


def test_a_run_of_letters_and_digits_is_never_cut():
    segmenter = LexiconSegmenter({"iPhone": 9, "12": 9, "用": 9})
    assert segmenter.cut(["用iPhone12"]) == [["用", "iPhone12"]]


def test_marks_stand_alone_but_the_same_in_a_row_together():
    pieces = LexiconSegmenter({"好": 1}).cut(["好——好……！？  \t好"])[0]
    assert pieces == ["好", "——", "好", "……", "！", "？", "  \t", "好"]


def test_characters_of_other_scripts_do_not_stop_it():
    lines = ["𠮷野家", "한국어", "ภาษา", "\ud800"]
    assert ["".join(pieces) for pieces in LexiconSegmenter({"好": 1}).cut(lines)] == lines
    assert np.sum([len(pieces) for pieces in LexiconSegmenter({}).cut([""])]) == 0
