"""Discovery as a whole: the seed algorithm against a slow twin, and what holds for every word found."""

import io
import random
import re
from collections import Counter
from dataclasses import asdict
from math import log
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpkit.discover import refined
from nlpkit.discover.pipeline import Settings, discover
from nlpkit.errors import InputError
from nlpkit.ngram import census as census_module
from nlpkit.ngram import counts
from nlpkit.ngram.saved import load_counts, save_counts

WORDS = ["量子计算", "区块链", "新冠", "碳中和", "元宇宙空间", "直播带货", "硬科技", "双循环经济体系"]
HAN = [chr(0x5000 + 23 * number) for number in range(300)]
UNITS = [han + unit for han in HAN[:20] for unit in ("iPhone12", "5G")]  # never one beside another
FILLERS = HAN * 9 + ["，", "。\n"] * 50 + UNITS + ["𠀀"] * 10


def some_text(seed: int, words: list[str] = WORDS, fillers: list[str] = FILLERS) -> str:
    """Forty of each word, far apart and beside many different things."""
    draw = random.Random(seed)
    order = words * 40
    draw.shuffle(order)
    gaps = ["".join(draw.choices(fillers, k=draw.randint(50, 70))) for _ in order]
    return "".join(word + gap for word, gap in zip(order, gaps, strict=True))


TEXT = some_text(0)


def found(texts, **more):
    """The records and statistics of a run on strings or bytes."""
    data = [text.encode() if isinstance(text, str) else text for text in texts]
    result = discover(data, Settings(**more))
    return list(result.words()), result


def places(text: str, word: str) -> list[int]:
    return [match.start() for match in re.finditer(f"(?={re.escape(word)})", text)]


def seed_words(text: str, min_count: int) -> list[tuple[str, int]]:
    """The seed algorithm's seven steps, slowly: words with the counts of their pieces."""
    runs = re.findall("[\u4e00-\u9fa5a-zA-Z0-9]+", text)
    count = Counter(
        run[i : i + order] for run in runs for order in range(1, 5) for i in range(len(run) - order + 1)
    )
    total = sum(map(len, runs))

    def cohesion(word):
        return min(
            log(total * count[word] / (count[word[:j]] * count[word[j:]])) for j in range(1, len(word))
        )

    kept = {
        word
        for word, number in count.items()
        if len(word) > 1 and number >= min_count and cohesion(word) >= {2: 2, 3: 4, 4: 6}[len(word)]
    }
    pieces: Counter[str] = Counter()
    for run in runs:
        start = covered = 0
        for i in range(len(run)):
            if i >= covered and i > start:
                pieces[run[start:i]] += 1
                start = i
            covered = max([covered] + [i + order for order in (2, 3, 4) if run[i : i + order] in kept])
        pieces[run[start:]] += 1

    def stays(piece):
        if len(piece) <= 4:
            return len(piece) <= 2 or piece in kept
        return all(piece[i : i + 4] in kept for i in range(len(piece) - 3))

    words = [(piece, number) for piece, number in pieces.items() if number >= min_count and stays(piece)]
    return sorted(words, key=lambda word: (-word[1], word[0]))


def check_seed(text: str, min_count: int, **more) -> None:
    words, _ = found([text], method="cohesion", min_count=min_count, new_only=False, **more)
    assert [(word.word, word.score) for word in words] == seed_words(text, min_count)
    for word in words:
        assert word.count == len(places(text, word.word))
        assert word.first == text.find(word.word)


SEED_TEXT = st.lists(
    st.sampled_from(["量子", "计算", "量子计算", "区块链", "中", "文", "的", "abc", "7", "，", "カ", "\n"]),
    max_size=150,
).map("".join)


@settings(max_examples=40)
@given(text=SEED_TEXT, min_count=st.integers(1, 4), share_bytes=st.sampled_from([1, 5, 50, 1 << 20]))
def test_the_seed_method_gives_the_words_of_the_seven_steps(text, min_count, share_bytes):
    with patch.object(census_module, "SHARE_BYTES", share_bytes):
        check_seed(text, min_count)


def test_the_seed_method_finds_words_in_a_longer_text():
    words = seed_words(TEXT, 5)
    assert {"量子计算", "元宇宙空间", "双循环经济体系"} <= {word for word, _ in words}
    check_seed(TEXT, 5)
    check_seed(TEXT, 5, threads=3, memory_bytes=0)


def test_the_seed_wants_32_occurrences():
    text = "，".join(["量子"] * 32 + ["区块"] * 31 + ["山水火土"[i % 4] for i in range(4000)])
    words, result = found([text], method="cohesion", new_only=False)
    assert result.stats.min_count == 32
    assert {"量子"} == {word.word for word in words if len(word.word) > 1}


def test_counts_and_places_are_those_that_str_finds():
    words, _ = found([TEXT])
    assert {"量子计算", "区块链", "新冠", "iPhone12"} <= {word.word for word in words}
    assert len(words) >= len(WORDS)
    for word in words:
        assert word.count == len(places(TEXT, word.word)), word
        assert word.first == TEXT.find(word.word)


def test_words_longer_than_the_longest_gram_are_counted_too():
    words, _ = found([TEXT], max_order=3)
    longest = {word.word: word for word in words}["双循环经济体系"]
    assert longest.count == TEXT.count("双循环经济体系")
    assert longest.first == TEXT.find("双循环经济体系")
    assert longest.left_entropy > 2
    assert longest.right_entropy > 2


def test_entropies_are_those_of_what_stands_beside():
    words, _ = found([TEXT])
    word = {word.word: word for word in words}["碳中和"]
    beside = Counter(re.findall(r"碳中和([A-Za-z0-9]+|\w)?", TEXT))
    for unit in [unit for unit in beside if len(unit) > 2 and TEXT.count(unit) < 5]:
        beside[""] += beside.pop(unit)  # rare units are one thing with breaks
    expected = -sum(n / beside.total() * log(n / beside.total()) for n in beside.values())
    assert word.right_entropy == pytest.approx(expected)


def test_contexts_show_the_word_in_its_line():
    words, _ = found([TEXT])
    for word in words:
        assert len(word.contexts) == min(3, word.count)
        for context, place in zip(word.contexts, places(TEXT, word.word), strict=False):
            start, end = place, place + len(word.word)
            before = TEXT[max(start - 10, 0) : start].rpartition("\n")[2].lstrip()
            after = TEXT[end : end + 10].partition("\n")[0].rstrip()
            assert context == before + word.word + after


def test_contexts_are_cut_between_code_points():
    text = some_text(4, WORDS, [chr(0x20000 + number) for number in range(300)] + ["é，"] * 5)
    words, _ = found([text])
    assert len(words) >= len(WORDS)
    for word in words:
        assert all(context in text for context in word.contexts)


def test_words_stand_by_score_and_then_by_code_point():
    text = "".join(f"{word}{filler}" for filler in FILLERS[:20] for word in ("丙丁", "甲乙", "戊己"))
    words, _ = found([text], min_count=2)
    ranks = [(-word.score, word.word) for word in words]
    assert ranks == sorted(ranks)
    words, _ = found([text], method="cohesion", min_count=2)
    tied = [word.word for word in words if word.score == 20]
    assert tied == sorted(tied)
    assert len(tied) > 2


def test_known_words_are_marked_or_left_out():
    known = ["区块链 5 n\n量子计算\n新\n不在文中\n".encode(), b"iPhone12\tx\n"]
    words, _ = found([TEXT], known=known, new_only=False)
    assert {word.word for word in words if word.known} == {"区块链", "量子计算", "iPhone12"}
    new, _ = found([TEXT], known=known)
    assert new == [word for word in words if not word.known]


def test_a_background_ranks_by_log_likelihood_ratio():
    other = some_text(1).replace("区块链", "量子计算")
    words, result = found([TEXT], background=[other.encode(), "新冠，".encode()])
    num_here = result.stats.num_symbols
    symbol = "[A-Za-z0-9]+|[\u4e00-\u9fa5𠀀]"
    assert num_here == len(re.findall(symbol, TEXT))
    num_there = len(re.findall(symbol, other)) + 2
    for word in words:
        here, there = word.count, len(places(other, word.word)) + ("新冠" in word.word)
        rate = (here + there) / (num_here + num_there)
        ratio = here * log(here / (rate * num_here)) + (
            there * log(there / (rate * num_there)) if there else 0
        )
        sign = 1 if here / num_here >= there / num_there else -1
        assert word.score == pytest.approx(sign * 2 * ratio), word
    assert words[0].word == "区块链"
    assert words[-1].score < 0


def saved_at(path, texts, **more):
    _, result = found(texts, keep_counts=True, **more)
    with path.open("wb") as file:
        save_counts(result.counted, file)
    return path


def test_a_saved_background_is_like_its_text(tmp_path):
    other = some_text(1)
    path = saved_at(tmp_path / "counts", [other])
    one, _ = found([TEXT], background=[other.encode()])
    two, _ = found([TEXT], background=[load_counts(path)])
    exact = [word.word for word in one if len(word.word) <= 5]  # longer ones have an upper bound
    assert exact
    assert {w.word: w for w in one if w.word in exact} == {w.word: w for w in two if w.word in exact}


def test_saved_counts_and_a_text_are_like_both_texts(tmp_path):
    first, second = some_text(2), some_text(3)
    path = saved_at(tmp_path / "counts", [first])
    both, of_both = found([second, first], min_count=8)
    merged, of_merged = found([second], counts=[path], min_count=8)
    names = ("word", "count", "score", "cohesion", "left_entropy", "right_entropy")

    def short(words):
        return [tuple(asdict(word)[name] for name in names) for word in words if len(word.word) <= 4]

    assert short(merged) == short(both)
    assert {"量子计算", "iPhone12"} <= {word.word for word in merged}
    assert of_merged.stats.num_symbols == of_both.stats.num_symbols
    twice, _ = found([], counts=[path, saved_at(tmp_path / "other", [second])], min_count=8)
    assert short(twice) == short(both)
    assert all((word.first, word.contexts) == (-1, ()) for word in twice)


@pytest.mark.parametrize(
    ("more", "hint"), [({"max_order": 3}, "--max-order 4"), ({"split_latin": True}, "--split-latin")]
)
def test_counts_of_other_settings_are_refused(tmp_path, more, hint):
    path = saved_at(tmp_path / "counts", [TEXT])
    with pytest.raises(InputError, match="were counted") as caught:
        found([TEXT], counts=[path], **more)
    assert hint in caught.value.hint


def test_a_background_that_was_counted_otherwise_is_refused(tmp_path):
    path = saved_at(tmp_path / "counts", [TEXT])
    with pytest.raises(InputError, match="background: other symbols"):
        found([TEXT], background=[load_counts(path)], split_latin=True)


@pytest.mark.parametrize(
    "more",
    [
        {"refine": True, "method": "cohesion"},
        {"refine": True, "background": [b""]},
        {"refine": True, "counts": [Path("x")]},
        {"method": "cohesion", "background": [b""]},
        {"method": "cohesion", "counts": [Path("x")]},
    ],
)
def test_settings_that_cannot_go_together_are_refused(more):
    with pytest.raises(ValueError, match=r"refinement|method"):
        Settings(**more)


def test_a_refinement_of_a_sample_scales_its_tokens(monkeypatch):
    text = ("我们在北京大学读书，他们也在北京大学读书。你们去北京吗？\n" * 4000).encode()
    whole = discover([text], Settings(refine=True, new_only=False)).lexicon()
    monkeypatch.setattr(refined, "_MOST_SYMBOLS", 20_000)
    monkeypatch.setattr(refined, "_SHARE_BYTES", 4096)
    part = discover([text], Settings(refine=True, new_only=False)).lexicon()
    assert sum(part.values()) == pytest.approx(sum(whole.values()), rel=0.1)


def test_saved_counts_without_a_letter_give_nothing(tmp_path):
    path = saved_at(tmp_path / "counts", ["，。"])
    assert found([], counts=[path])[0] == []
    plain, _ = found([TEXT])
    assert found([TEXT], counts=[path])[0] == plain


@pytest.mark.parametrize("method", ["entropy", "cohesion"])
@pytest.mark.parametrize("texts", [[], [b""], ["，。 \n😀".encode()], [b"\xff\xfe", b""], ["中".encode()]])
def test_texts_without_words_give_none(method, texts):
    words, result = found(texts, method=method)
    assert words == []
    assert len(result) == 0
    assert result.stats.num_bytes == sum(map(len, texts))


def test_the_corpus_is_described():
    text = b"\xe4\xb8\xad\xe6\x96\x87a1 \xff\xe4\xb8\xad\xe4\xb8"
    _, result = found([text, b"\xf0\x9f"])
    assert asdict(result.stats) == {
        "num_bytes": 17,
        "num_code_points": 9,
        "num_symbols": 4,
        "num_distinct_symbols": 2,
        "num_broken": 3,
        "first_broken": 5,
        "min_count": 2,
    }


def test_first_counts_code_points_over_all_texts():
    lead = "😀𠀀\r\n é，"
    words, _ = found([lead, b"\xff\xe4\xb8", "", TEXT])
    for word in words:
        assert word.first == len(lead) + 2 + TEXT.find(word.word)


def test_no_result_depends_on_memory_or_threads():
    plain = found([TEXT, some_text(1)])[0]
    assert plain
    with patch.object(census_module, "SHARE_BYTES", 999):
        for more in ({"threads": 3}, {"memory_bytes": 0, "threads": 2}):
            assert found([TEXT, some_text(1)], **more)[0] == plain
        with patch.object(counts, "_blocks", lambda census, *_: [[share] for share in census.shares]):
            assert found([TEXT, some_text(1)], memory_bytes=0)[0] == plain


def test_no_temporary_file_stays(tmp_path):
    with (
        patch.object(census_module, "SHARE_BYTES", 999),
        patch.object(counts, "_blocks", lambda c, *_: [[s] for s in c.shares]),
    ):
        words, _ = found([TEXT], memory_bytes=0, tmp=tmp_path)
    assert words
    assert not list(tmp_path.iterdir())


def test_latin_and_digit_runs_are_units_or_not():
    text = some_text(5, ["Zürich", "2024", "中国", *WORDS[:6]], HAN)
    units, _ = found([text])
    single, _ = found([text], split_latin=True)
    assert {word.word for word in units} == {"Zürich", "中国", *WORDS[:6]}  # a number is no word
    assert {word.word for word in single} >= {"Zürich", "中国", *WORDS[:6]}
    assert {word.word: word.cohesion for word in units}["Zürich"] == 0
    assert {word.word: word.cohesion for word in single}["Zürich"] > 0


def test_kept_counts_change_no_word():
    words, result = found([TEXT])
    same, kept = found([TEXT], keep_counts=True)
    assert same == words
    assert result.counted is None
    out = io.BytesIO()
    save_counts(kept.counted, out)
    assert out.getvalue()


def test_order_8_counts_as_exactly():
    words, _ = found([TEXT], max_order=8)
    assert {"量子计算", "区块链", "新冠", "iPhone12"} <= {word.word for word in words}
    for word in words:
        assert (word.count, word.first) == (len(places(TEXT, word.word)), TEXT.find(word.word))
