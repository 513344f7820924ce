"""Which characters a model is asked for, in which rows, and how its answers are scored."""

import math
import tracemalloc

import numpy as np
import pytest

from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.errors import InputError, ModelError
from nlpkit.mlm.evaluate import HAN, Question, choose_questions, score_model

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNKNOWN, START, END, MASK = range(5)
HANZI = [chr(0x4E00 + number) for number in range(50)]
TOKENIZER = Tokenizer([*SPECIAL, *HANZI, "a", "b", "##b", "1", "，"], lower_case=True)


class FakeModel:
    """Answers with scores worked out by hand, and remembers what it was asked."""

    def __init__(self, answer, tokenizer=TOKENIZER):
        self.rows = []
        self.batches = []
        self._answer = answer
        self._size = len(tokenizer.id_to_token)

    def __call__(self, token_ids, positions):
        assert positions.shape == (len(token_ids), 1)
        self.batches.append(token_ids.shape)
        logits = np.zeros((len(token_ids), 1, self._size), np.float32)
        for row, (ids, (position,)) in enumerate(zip(token_ids, positions, strict=True)):
            ids = np.trim_zeros(ids, "b").tolist()
            assert [place for place, number in enumerate(ids) if number == MASK] == [position]
            assert (ids[0], ids[-1]) == (START, END)
            self.rows.append((ids, int(position)))
            logits[row, 0] = self._answer(ids, int(position))
        return logits


def scores_of(*best):
    """Scores that fall from the first id given to the last; all others are far below."""
    scores = np.full(len(TOKENIZER.id_to_token), -50.0, np.float32)
    scores[list(best)] = np.arange(len(best), 0, -1)
    return scores


def ids_of(text):
    return TOKENIZER.ids(text)


def all_questions(*lines):
    return choose_questions(lines, 10**6, 0)


def test_only_single_han_characters_are_asked_for():
    questions = all_questions("一a，1 丁かカ한。㐀𠮷！", "", "丂")
    assert [text[offset] for text, offset in questions] == ["一", "丁", "㐀", "𠮷", "丂"]
    assert not HAN.match("〇")


def test_the_choice_is_uniform_whatever_the_lengths_of_lines_are():
    lines = ["一" * 3, "丁" * 60, "", "七" * 1, "万" * 36]
    counts = dict.fromkeys("一丁七万", 0)
    for seed in range(1000):
        # Few of many, so that the list of the best so far is cut again and again.
        for text, offset in choose_questions(lines, 2, seed):
            counts[text[offset]] += 1
    expected = {"一": 60, "丁": 1200, "七": 20, "万": 720}
    for character, number in expected.items():
        assert abs(counts[character] - number) < 5 * math.sqrt(number), counts


def test_chosen_ones_are_different_and_in_the_order_of_the_text():
    line = "".join(HANZI)
    questions = choose_questions([line[:20], line[20:]], 15, 7)
    found = [text[offset] for text, offset in questions]
    assert found == sorted(set(found))
    assert len(found) == 15


def test_the_seed_decides_and_a_short_text_is_asked_whole():
    lines = ["".join(HANZI)] * 4
    first, again, other = (choose_questions(lines, 20, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(all_questions("一丁")) == 2


def test_thinning_out_on_the_way_loses_nothing():
    keys = np.random.default_rng(5).random(2000)
    expected = sorted(np.argsort(keys)[:30])
    lines = [f"{number:02}{''.join(HANZI)}" for number in range(40)]
    found = choose_questions(lines, 30, 5)
    assert [int(text[:2]) * 50 + offset - 2 for text, offset in found] == expected


def test_a_very_long_line_takes_little_memory():
    line = "".join(HANZI) * 2000
    tracemalloc.start()
    questions = choose_questions([line], 50, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(questions) == 50
    assert peak < 10e6
    places = [offset for _, offset in questions]
    assert max(len(text) for text, _ in questions) <= 801
    assert max(places) == 400


def test_rows_show_the_surroundings_and_hide_the_character():
    model = FakeModel(lambda ids, position: scores_of(5))
    score_model("m", model, TOKENIZER, [Question("一丁ab七，", 3 + 1)], window=128)
    assert model.rows == [([START, *ids_of("一丁ab"), MASK, *ids_of("，"), END], 5)]


@pytest.mark.parametrize("offset", [0, 1, 60, 61, 62, 63, 500, 936, 937, 938, 998, 999])
def test_windows_reach_the_ends_of_the_line_and_no_further(offset):
    line = (HANZI * 20)[:1000]
    model = FakeModel(lambda ids, position: scores_of(5))
    text = "".join(line)
    score_model("m", model, TOKENIZER, [Question(text, offset)], window=128)
    ((ids, position),) = model.rows
    assert len(ids) == 128
    first = offset - (position - 1)  # of the line's characters in the row
    assert 0 <= first <= 1000 - 126
    expected = ids_of(text[first : first + 126])
    expected[position - 1] = MASK
    assert ids[1:-1] == expected
    # In the middle, unless an end of the line is near.
    assert 60 <= position <= 66 or first in (0, 1000 - 126)


def test_a_character_far_into_a_line_of_100_000_is_asked_in_its_place():
    line = "".join(HANZI) * 2000
    model = FakeModel(lambda ids, position: scores_of(5))
    (question,) = choose_questions([line], 1, 3)
    score_model("m", model, TOKENIZER, [question])
    ((ids, position),) = model.rows
    assert len(ids) == 128
    before, after = ids[position - 1], ids[position + 1]
    assert (before + 2 - 5) % 50 == (after - 5) % 50  # the characters run in a ring
    assert question.text[question.offset] == HANZI[(before + 1 - 5) % 50]


def test_right_answers_count_by_their_rank():
    # Four questions: first, fifth and sixth of the guesses, and not among them.
    answers = {
        "一": scores_of(*ids_of("一")),
        "丁": scores_of(*ids_of("七万丈三丁上下")),
        "丂": scores_of(*ids_of("七万丈三上丂")),
        "七": scores_of(*ids_of("万丈三上下")),
    }
    order = iter(["一", "丁", "丂", "七"])
    model = FakeModel(lambda ids, position: answers[next(order)])
    score = score_model("m", model, TOKENIZER, all_questions("一", "丁", "丂", "七"))
    assert (score.model, score.tokens, score.top1, score.top5) == ("m", 4, 0.25, 0.5)


def test_pseudo_perplexity_is_the_inverse_geometric_mean_of_the_probabilities():
    size = len(TOKENIZER.id_to_token)

    def answer(ids, position):
        # One half for 一, the rest shared out.
        scores = np.full(size, math.log(0.5 / (size - 1)), np.float32)
        scores[ids_of("一")] = math.log(0.5)
        return scores + 7  # what is added to all scores changes nothing

    score = score_model("m", FakeModel(answer), TOKENIZER, all_questions("一", "丁"))
    assert score.pseudo_perplexity == pytest.approx(math.sqrt(2 * 2 * (size - 1)), rel=1e-5)
    flat = score_model("m", FakeModel(lambda *_: np.zeros(size)), TOKENIZER, all_questions("一"))
    assert flat.pseudo_perplexity == pytest.approx(size, rel=1e-6)


def test_a_character_outside_the_vocabulary_is_wrong_even_if_guessed_as_unknown():
    model = FakeModel(lambda ids, position: scores_of(UNKNOWN))
    score = score_model("m", model, TOKENIZER, all_questions("龘", "一"))
    assert (score.tokens, score.top1) == (2, 0)
    assert score.top5 == 0


def test_equal_scores_are_no_guess():
    size = len(TOKENIZER.id_to_token)
    score = score_model("m", FakeModel(lambda *_: np.ones(size)), TOKENIZER, all_questions("一丁七"))
    assert (score.top1, score.top5) == (0, 0)


def test_scores_that_are_no_numbers_are_told():
    size = len(TOKENIZER.id_to_token)
    for bad in (np.nan, np.inf):
        with pytest.raises(ModelError, match="m gave scores that are not numbers"):
            score_model(
                "m", FakeModel(lambda *_, bad=bad: np.full(size, bad)), TOKENIZER, all_questions("一")
            )


def test_models_with_other_tokenizers_are_asked_for_the_same_characters():
    other = Tokenizer([*SPECIAL, "iphone", *HANZI[:3], "##x", *HANZI[5:]], lower_case=True)
    questions = choose_questions(["iPhone一丁丂X，七万 ", "abc三上"], 5, 0)
    assert len(questions) == 5
    for tokenizer in (TOKENIZER, other):
        model = FakeModel(lambda ids, position, t=tokenizer: np.zeros(len(t.id_to_token)), tokenizer)
        score_model("m", model, tokenizer, questions)
        expected = []
        for text, offset in questions:
            ids = [tokenizer.start_id, *tokenizer.ids(text), tokenizer.end_id]
            place = 1 + len(tokenizer.ids(text[:offset]))
            ids[place] = tokenizer.mask_id
            expected.append((ids, place))
        assert sorted(model.rows) == sorted(expected)


def test_batches_stay_within_their_tokens_and_answers_find_their_questions():
    lines = ["".join(HANZI[:length]) for length in (1, 5, 9, 20, 50)]
    questions = all_questions(*lines)

    def answer(ids, position):
        # The characters of a line follow each other, so that the neighbours give the answer away.
        if ids[position + 1] != END:
            return scores_of(ids[position + 1] - 1)
        return scores_of(ids[position - 1] + 1 if position > 1 else 5)

    model = FakeModel(answer)
    told = []
    score = score_model(
        "m", model, TOKENIZER, questions, batch_tokens=200, progress=lambda *args: told.append(args)
    )
    assert (score.tokens, score.top1) == (85, 1)
    assert score.pseudo_perplexity == pytest.approx(1, abs=1e-6)
    assert max(rows * length for rows, length in model.batches) <= 200
    assert max(rows for rows, _ in model.batches) > 3
    assert told[-1] == ("m", 85, 85)


def test_a_text_without_chinese_is_told():
    with pytest.raises(InputError, match="no Chinese character"):
        score_model("m", FakeModel(None), TOKENIZER, all_questions("abc"))


def test_a_vocabulary_without_a_mask_is_told():
    tokenizer = Tokenizer([*SPECIAL[:4], *HANZI], lower_case=True)
    with pytest.raises(ModelError, match=r"no \[MASK\]"):
        score_model("m", FakeModel(None), tokenizer, all_questions("一"))
