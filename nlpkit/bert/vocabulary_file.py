"""Reads the vocabulary of folders that other programs made: vocab.txt, or tokenizer.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlpkit.bert.huggingface import read_json
from nlpkit.errors import ModelError

_OTHER_KINDS = ("merges.txt", "spiece.model", "sentencepiece.bpe.model")


def read_tokens(folder: Path) -> tuple[Path, list[str], bool]:
    """Read a vocabulary.

    Blank lines, and all but the last of equal lines, become placeholders: no tokenizer can produce them, but
    their rows exist. Published vocabularies have such lines where a U+2028 was stripped.

    Returns:
        The file, its tokens, and whether text is lower-cased. A vocabulary without a capital letter is for
        lower-cased text, whatever the folder's settings say (those of bert-base-chinese are wrong); others
        follow the settings, and are cased without any.

    Raises:
        ModelError: there is none, or one of another kind of tokenizer.
    """
    fast, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    fields = read_json(fast) if fast.is_file() else {}
    file = folder / "vocab.txt"
    if file.is_file():
        tokens = _lines(file)
    else:
        file, tokens = fast, _word_pieces(folder, fields.get("model"))
    tokens = _made_different(tokens)
    if not any(map(_has_capital, tokens)):
        return file, tokens, True
    lower_case = read_json(settings).get("do_lower_case") if settings.is_file() else None
    normalizer = fields.get("normalizer")
    if lower_case is None and isinstance(normalizer, dict):
        lower_case = normalizer.get("lowercase")
    return file, tokens, bool(lower_case)


def _lines(file: Path) -> list[str]:
    """Return the lines of a file, where only a newline ends a line."""
    try:
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except OSError as error:
        raise ModelError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelError(f"{file}: not UTF-8", hint="a vocabulary is a UTF-8 text file") from None
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise ModelError(f"{file}: no token")
    return [line.removesuffix("\r") for line in lines]


def _word_pieces(folder: Path, model: Any) -> list[str]:
    """Return the tokens of a WordPiece tokenizer.json in the order of their ids."""
    kind = model.get("type") if isinstance(model, dict) else None
    if kind != "WordPiece":
        other = kind or next((name for name in _OTHER_KINDS if (folder / name).exists()), None)
        if other is None:
            raise ModelError(f"{folder}: no vocab.txt", hint="it belongs to every model: get it too")
        raise ModelError(
            f"{folder}: its tokenizer is {other}, which is not supported",
            hint="only WordPiece with a vocab.txt is",
        )
    numbers = model.get("vocab")
    ids = list(numbers.values()) if isinstance(numbers, dict) else []
    if not ids or not all(isinstance(number, int) for number in ids) or sorted(ids) != list(range(len(ids))):
        raise ModelError(f"{folder / 'tokenizer.json'}: its tokens are not numbered one by one")
    return sorted(numbers, key=numbers.__getitem__)


def _made_different(tokens: list[str]) -> list[str]:
    """Give tokens that cannot be reached names of their own."""
    last = {token: number for number, token in enumerate(tokens)}
    return [
        token if token and last[token] == number else f"[unused line {number + 1}]"
        for number, token in enumerate(tokens)
    ]


def _has_capital(token: str) -> bool:
    """Tell whether a token has a capital letter, not counting special ones such as [CLS] and <S>."""
    return token[0] not in "[<" and token != token.lower()
