"""Making vocabularies: what gets a row, in which order, and what can never be unknown."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpkit.bert import vocabulary as module
from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.bert.vocabulary import learn_pieces, make_vocabulary
from nlpkit.errors import InputError

NUM_FIXED = 5 + 8 + 32 + 2 * 36  # special, unused, punctuation, lower-case letters and digits twice
EMPTY = Tokenizer(make_vocabulary([], 200), lower_case=True)


def plain_pieces(counts, number):
    """Byte-pair encoding that counts everything anew for each piece."""
    split = {word: [word[0], *("##" + c for c in word[1:])] for word in counts}
    pieces = []
    while len(pieces) < number:
        pairs = {}
        for word, parts in split.items():
            for i in range(len(parts) - 1):
                text = (parts[i] + parts[i + 1][2:]).removeprefix("##")
                if text.isalpha() or (text.isdigit() and len(text) <= 4):
                    pairs[parts[i], parts[i + 1]] = pairs.get((parts[i], parts[i + 1]), 0) + counts[word]
        if not pairs:
            break
        (left, right), _ = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[0]
        for word, parts in split.items():
            new = []
            for part in parts:
                # The part before may have been joined to its left already; then it is not `left` any more.
                if part == right and new and new[-1] == left:
                    new[-1] = left + right[2:]
                else:
                    new.append(part)
            split[word] = new
        if left + right[2:] not in pieces:
            pieces.append(left + right[2:])
    return pieces


def test_begins_with_special_tokens_and_ascii():
    tokens = make_vocabulary([], 200)
    assert tokens[:7] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "[unused2]"]
    assert len(tokens) == NUM_FIXED
    assert set(string.punctuation) < set(tokens)
    assert not set(string.ascii_uppercase) & set(tokens)


@given(st.text(string.ascii_letters + string.digits + string.punctuation + " ", max_size=100))
def test_no_ascii_text_is_unknown(text):
    assert EMPTY.unknown_id not in EMPTY.ids(text)


def test_has_capitals_when_case_counts():
    tokenizer = Tokenizer(make_vocabulary([], 300, lower_case=False), lower_case=False)
    assert tokenizer.unknown_id not in tokenizer.ids("BERT bErT Z9 9Z")
    assert "##Z" in tokenizer.token_to_id


def test_takes_characters_by_frequency_and_leaves_out_rare_ones():
    text = "文" * 3 + "，" * 5 + "中" * 4 + "一" * 4 + "稀" * 2 + " カカ" * 3 + "é" + "É é"
    # é is e for this tokenizer, カ continues a word every second time.
    assert make_vocabulary([text], 200)[NUM_FIXED:] == ["，", "一", "中", "##カ", "カ", "文"]


def test_characters_leave_a_tenth_of_the_rows_to_pieces():
    text = "".join(chr(0x4E00 + i) * 3 for i in range(500)) + " abcdefghijklmnopqrstuvwxyz" * 3
    tokens = make_vocabulary([text], 200)
    assert len(tokens) == len(set(tokens)) == 200
    assert sum(token[0] >= "\u4e00" for token in tokens) == 200 - NUM_FIXED - 20
    assert tokens[-20:-18] == ["##bc", "##bcd"]


def test_what_characters_leave_goes_to_pieces():
    tokens = make_vocabulary(["中中中 " + "abcdefgh " * 3], 500)
    assert tokens[NUM_FIXED:] == [
        "中",
        "##bc",
        "##bcd",
        "##bcde",
        "##bcdef",
        "##bcdefg",
        "##bcdefgh",
        "abcdefgh",
    ]


def test_words_are_counted_as_the_tokenizer_sees_them():
    tokens = make_vocabulary(["Ünix UNIX中unix", "un\u200bix"], 500)
    assert tokens[NUM_FIXED:] == ["##ix", "##nix", "unix"]


def test_learns_the_pieces_of_the_example_in_the_paper():
    counts = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    # es 9, est 9, ow 7, low 7, then pairs of 6 in the order of their characters.
    assert learn_pieces(counts, 7) == ["##es", "##est", "##ow", "low", "##ew", "##ewest", "newest"]


def test_joins_neither_letters_to_digits_nor_more_than_four_digits():
    pieces = learn_pieces({"mp3mp3": 9, "2022": 8, "20222022": 7}, 100)
    digits = [piece.removeprefix("##") for piece in pieces if piece.removeprefix("##").isdigit()]
    assert {"2022", "mp", "##mp"} <= set(pieces)
    assert all(piece.removeprefix("##").isalpha() for piece in pieces if "m" in piece)
    assert max(map(len, digits)) == 4


@given(
    st.dictionaries(st.text("ab1", min_size=1, max_size=9), st.integers(1, 9), max_size=8), st.integers(0, 12)
)
def test_pieces_are_those_of_plain_byte_pair_encoding(counts, number):
    assert learn_pieces(counts, number) == plain_pieces(counts, number)


def test_order_of_the_lines_does_not_matter():
    rng = random.Random(7)
    words = ["".join(rng.choices("abcde012", k=rng.randint(1, 7))) for _ in range(60)]
    lines = [rng.choice(words) + rng.choice("中文字，カ①") for _ in range(600)]
    first = make_vocabulary(lines, 220)
    rng.shuffle(lines)
    assert make_vocabulary(iter(lines), 220) == first
    assert len(first) > NUM_FIXED + 50


def test_forgets_rare_words_and_no_characters_when_there_are_too_many(monkeypatch):
    lines = ["稀", *["中文"] * 4] + [f"word {number:05}" for number in range(100)] + ["中字"] * 3 + ["稀"]
    monkeypatch.setattr(module, "_MOST_CHUNKS", 8)
    counts = module._count_words(lines, lower_case=True)
    expected = {"中": 7, "文": 4, "字": 3, "word": 100, "稀": 2}
    assert {word: counts[word] for word in expected} == expected
    assert len(counts) <= 9


def test_refuses_a_size_without_room_for_characters():
    with pytest.raises(InputError, match="100 tokens"):
        make_vocabulary(["中"], 100)
