"""The text of a run on its way to token ids: vocabulary, corpus and development text."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from nlpkit.bert.tokenizer import Tokenizer
from nlpkit.bert.vocabulary import make_vocabulary
from nlpkit.errors import OutputError
from nlpkit.mlm.batches import MaskedBatches
from nlpkit.mlm.masking import MaskedBatch
from nlpkit.mlm.settings import MlmSettings
from nlpkit.mlm.tokens import TokenFile, Tokens, is_complete, write_tokens
from nlpkit.mlm.words import WordTokens, plain_tokens
from nlpkit.models import read_vocabulary
from nlpkit.sources import STDIN, open_file, source_name
from nlpkit.text import iter_lines

# Windows of the development text that are measured: about 30,000 tokens, a second of work.
DEV_EXAMPLES = 256

# Called with a stage's name, how much of it is done, and the whole (0: not known).
Progress = Callable[[str, int, int], None]
Warn = Callable[[str], None]


def check_readable(paths: Iterable[Path | None]) -> None:
    """Make sure that files are there before hours go into others; pipes are left alone.

    Raises:
        InputError: one is missing, a folder, or may not be read.
    """
    for path in paths:
        if path is not None and str(path) != STDIN and (path.is_file() or path.is_dir() or not path.exists()):
            with open_file(path):
                pass


class Corpus:
    """The texts of a run as token ids in its folder, where a resumed run finds them again."""

    def __init__(self, settings: MlmSettings, folder: Path, progress: Progress, warn: Warn) -> None:
        """Name the parts; nothing is read yet.

        Args:
            folder: of the run.
            progress: told about lines that are done.
            warn: told about broken bytes and records.
        """
        self._settings = settings
        self._folder = folder
        self._progress = progress
        self._warn = warn

    def vocabulary(self) -> list[str]:
        """Make the vocabulary from the corpus, or read the one that was made.

        Raises:
            InputError: a file cannot be read, or the size leaves no room for characters.
            OutputError: the run's folder cannot be written.
        """
        path = self._folder / "vocab.txt"
        if not path.exists():
            # Nothing is told of what is wrong with the text: that is told when it becomes ids.
            lines = self._lines(self._named_files(), "vocabulary", lambda _: None)
            tokens = make_vocabulary(lines, self._settings.vocab_size)
            half = path.with_suffix(".half")
            try:
                half.write_text("".join(f"{token}\n" for token in tokens), "utf-8")
                half.replace(path)
            except OSError as error:
                raise OutputError(f"{path}: cannot write: {error.strerror}") from error
        return read_vocabulary(path)

    def files(self, tokenizer: Tokenizer) -> list[TokenFile]:
        """Return the corpus as token ids, one for each file of the settings.

        Raises:
            InputError: a file or the lexicon cannot be read, or a file holds nothing to learn from.
            OutputError: the run's folder cannot be written.
        """
        lexicon = self._settings.lexicon
        tokens = WordTokens(tokenizer, lexicon) if lexicon else plain_tokens(tokenizer)
        return [self._token_file(name, path, tokens, tokenizer) for name, path in self._named_files().items()]

    def dev_batches(self, tokenizer: Tokenizer) -> list[MaskedBatch]:
        """Mask the development text once, so that every evaluation asks the same questions."""
        settings = self._settings
        if settings.dev is None:
            return []
        file = self._token_file("dev", settings.dev, plain_tokens(tokenizer), tokenizer)
        batches = MaskedBatches(
            [file],
            [min(1.0, DEV_EXAMPLES / len(file))],
            tokenizer,
            batch_tokens=settings.batch_tokens,
            mask_rate=0.15,
            seed=0,
        )
        return [batches.batch(number) for number in range(batches.per_epoch)]

    def _named_files(self) -> dict[str, Path]:
        return {f"text-{number}": path for number, path in enumerate(self._settings.files)}

    def _token_file(self, name: str, path: Path, tokens: Tokens, tokenizer: Tokenizer) -> TokenFile:
        place = self._folder / f"{name}.tokens"
        if is_complete(place):
            return TokenFile(place)
        return write_tokens(
            self._lines({name: path}, f"tokens of {source_name(path)}", self._warn),
            tokens,
            place,
            name=source_name(path),
            vocab_size=len(tokenizer.id_to_token),
            max_tokens=self._settings.max_tokens,
        )

    def _lines(self, files: Mapping[str, Path], stage: str, warn: Warn) -> Iterator[str]:
        encoding, text_key = self._settings.encoding, self._settings.text_key
        paths = [self._rereadable(path, name) for name, path in files.items()]
        for number, line in enumerate(iter_lines(paths, encoding=encoding, text_key=text_key, report=warn)):
            if number % 10_000 == 0:
                self._progress(stage, number, 0)
            yield line.text

    def _rereadable(self, path: Path, name: str) -> Path:
        """Return the file; of one that can be read only once, such as a pipe, a copy in the run's folder."""
        if str(path) != STDIN and path.is_file():
            return path
        copy = self._folder / f"{name}{path.suffix}"
        if not copy.exists():
            half = copy.with_name(f"{copy.name}.half")
            try:
                with open_file(path) as source, open(half, "wb") as target:
                    shutil.copyfileobj(source, target)
                half.replace(copy)
            except OSError as error:
                raise OutputError(f"{copy}: cannot write: {error.strerror}") from error
        return copy
