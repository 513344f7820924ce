"""jieba behind the interface of the segmenters: with its own dictionary, or with a lexicon."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlpkit.errors import MissingDependencyError


def _user_cache() -> Path:
    """A folder of the user's own: jieba's default, the shared temporary folder, is anyone's to write."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "nlpkit"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class JiebaSegmenter:
    """Words as jieba cuts them, its hidden Markov model for unknown words included."""

    def __init__(self, words: dict[str, float] | None = None) -> None:
        """Load jieba's dictionary, and add words with their counts.

        Raises:
            MissingDependencyError: jieba is not installed.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its source has invalid escapes
                import jieba
        except ImportError:
            raise MissingDependencyError("jieba is not installed", hint="pip install jieba") from None
        jieba.setLogLevel(logging.ERROR)
        self._tokenizer: Any = jieba.Tokenizer()
        try:
            self._tokenizer.tmp_dir = str(_user_cache())
        except OSError:
            self._tokenizer.tmp_dir = None  # no place for a cache: jieba reads its dictionary again
        self._tokenizer.initialize()
        for word, count in (words or {}).items():
            self._tokenizer.add_word(word, max(round(count), 1))

    def cut(self, lines: Sequence[str]) -> list[list[str]]:
        """Cut lines into words, punctuation marks and white space, which joined give the line again."""
        return [self._tokenizer.lcut(line) for line in lines]
