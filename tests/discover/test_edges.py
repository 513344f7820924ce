"""Which candidates are phrases by their edges."""

import numpy as np
import pytest

from nlpkit.discover.candidates import Candidates, join_candidates
from nlpkit.discover.edges import phrase_edges
from nlpkit.ngram.alphabet import word_classes
from nlpkit.ngram.census import take_census
from nlpkit.ngram.counts import count
from nlpkit.ngram.grams import gram_statistics
from nlpkit.ngram.passes import Words
from nlpkit.ngram.runs import RunStore


@pytest.fixture(scope="module")
def judge():
    """judge(word, cohesion, alone=..., kept=...): is it a phrase, where its rest occurs so often?"""

    def phrase(symbols, cohesion=3.0, count_of=10, rests=()):
        text = "，".join(
            ["".join(symbols)] * count_of + ["".join(rest) for rest, n, _ in rests for _ in range(n)]
        )
        with RunStore(None) as store:
            census = take_census([text.encode()], word_classes())
            alphabet = census.alphabet(1)
            table = gram_statistics(count(census, alphabet, 4, store=lambda: store), alphabet, 4, 1)
        number = {name: symbol for symbol, name in enumerate(alphabet.names)}
        kept = np.zeros(len(table.counts), bool)
        for rest, _, is_kept in rests:
            row = table.find(np.array([[number[name] for name in rest]], np.uint32))
            kept[row] = is_kept
        word = np.array([number[name] for name in symbols], np.uint32)
        one = np.ones(1)
        words = Words(word, np.array([len(word)], np.uint64))
        counts = np.array([count_of], np.uint64)
        candidate = Candidates(words, counts, one * cohesion, one, one)
        twice = phrase_edges(join_candidates([candidate, candidate]), table, kept, alphabet)
        assert twice[0] == twice[1]
        return bool(twice[0])

    return phrase


@pytest.mark.parametrize(
    "word", [("2024", "年"), ("年", "2024"), ("第", "７"), ("3", "中", "文"), ("月", "1", "日")]
)
def test_a_number_makes_a_phrase(judge, word):
    assert judge(word, cohesion=9)


@pytest.mark.parametrize("word", [("5G",), ("5G", "网"), ("2024",)])
def test_a_number_alone_or_with_a_letter_does_not(judge, word):
    assert not judge(word)


@pytest.mark.parametrize("word", ["的文", "文的", "想文", "枚文", "三文", "文三", "文着"])
def test_two_symbols_with_a_free_one_at_its_side_are_a_phrase(judge, word):
    assert judge(tuple(word), cohesion=4.4)
    assert not judge(tuple(word), cohesion=4.6)


@pytest.mark.parametrize("word", ["中文", "文想", "文枚", "着文", "后文"])
def test_symbols_are_free_on_their_own_side_only(judge, word):
    assert not judge(tuple(word), cohesion=0)


@pytest.mark.parametrize(
    ("word", "rest"), [("请注意", "注意"), ("如果你", "如果"), ("枚金牌", "金牌"), ("和中华民", "中华民")]
)
def test_longer_words_are_phrases_where_the_rest_mostly_stands_alone(judge, word, rest):
    assert judge(tuple(word), rests=[(rest, 10, True)])  # with the word's own 10 that is twice as often
    assert not judge(tuple(word), rests=[(rest, 9, True)])
    assert not judge(tuple(word), rests=[(rest, 10, False)])


def test_words_longer_than_the_longest_gram_are_judged_by_their_rest(judge):
    assert judge(tuple("的一二三四"), rests=[("一二三四", 10, True)])
    assert judge(tuple("中华民国的"), rests=[("中华民国", 10, True)])
    assert not judge(tuple("中华民国的"), rests=[("华民国的", 10, True)])
    assert not judge(tuple("中华民国万的"), rests=[("华民国", 10, True)])
