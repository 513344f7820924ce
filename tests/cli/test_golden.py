"""Whole runs of the real program against tests/cli/golden/NAME.txt; UPDATE_GOLDEN=1 writes them."""

from pathlib import Path

import pytest

CITY = (Path(__file__).parents[2] / "data/city.txt").read_text(encoding="utf-8")

# name of the file: (arguments, standard input)
CASES = {
    "no_such_command": (["discovr"], ""),
    "no_such_option": (["discover", "--fromat"], ""),
    "help-exit-codes": (["help-exit-codes"], ""),
    "discover": (["discover", "data/ev.txt", "--limit", "5"], ""),
    "discover_table": (["discover", "data/ev.txt", "--limit", "5", "--format", "table"], ""),
    "discover_tsv": (["discover", "data/ai.txt", "data/ev.txt", "--all", "--limit", "8", "-f", "tsv"], ""),
    "discover_jieba": (["discover", "data/ev.txt", "--limit", "5", "--format", "jieba"], ""),
    "discover_cohesion": (
        ["discover", "data/city.txt", "--method", "cohesion", "--all", "--min-count", "8", "-f", "jieba"],
        "",
    ),
    "discover_refine": (["discover", "data/city.txt", "--refine", "--limit", "10", "-f", "jieba"], ""),
    "discover_background": (
        ["discover", "data/ev.txt", "--background", "data/ai.txt", "--limit", "5", "-f", "tsv"],
        "",
    ),
    "discover_jsonl_input": (["discover", "data/notes.jsonl", "--all", "--limit", "3"], ""),
    "discover_stdin": (["discover", "--limit", "9", "-f", "jieba"], CITY),
    "discover_empty": (["discover", "-"], ""),
    "discover_no_letters": (["discover", "-"], "！？…… \n"),
    "discover_missing": (["discover", "nowhere.txt"], ""),
    "discover_bad_memory": (["discover", "data/ev.txt", "--memory", "lots"], ""),
    "segment": (["segment", "data/gold/segment.txt", "--method", "jieba"], ""),
    "segment_text": (
        ["segment", "-", "--method", "jieba", "-f", "text"],
        "我们在北京 大学读书。\r\n\n用iPhone12",
    ),
    "segment_itself": (["segment", "-f", "text"], "天地玄黄，天地。宇宙洪荒，玄黄\n" * 3),
    "segment_connection": (["segment", "--method", "connection", "-f", "text"], CITY[:300] * 3),
    "segment_bad_lexicon": (["segment", "data/ev.txt", "--lexicon", "data/notes.jsonl"], ""),
    "evaluate_segment": (["evaluate", "segment", "data/gold/segment.txt", "--method", "jieba"], ""),
    "evaluate_segment_found": (
        ["evaluate", "segment", "data/gold/segment.txt", "--found", "data/gold/segment.txt", "-f", "tsv"],
        "",
    ),
    "models_no_folder": (["models", "show", "./nowhere"], ""),
    "models_not_a_model": (["models", "show", "data/gold"], ""),
    "models_bad_name": (["models", "import", "data", "--name", "../x"], ""),
    "models_typo": (["models", "path", "mlm-zh-tny"], ""),
    "train_mlm_dry_run": (["train", "mlm", "data/ev.txt", "--steps", "9", "--dry-run"], ""),
    "train_mlm_bad_repeat": (["train", "mlm", "data/ev.txt", "--repeat", "2,1"], ""),
    "train_mlm_missing_file": (["train", "mlm", "nowhere.txt", "--dry-run"], ""),
    "evaluate_mlm_no_han": (["evaluate", "mlm"], "no Chinese here\n"),
    "evaluate_words": (["evaluate", "words", "data/ev.txt", "--at", "2", "-f", "table"], ""),
}


@pytest.mark.parametrize("name", CASES)
def test_run_is_as_recorded(golden, name):
    args, stdin = CASES[name]
    golden(name, *args, stdin=stdin)
