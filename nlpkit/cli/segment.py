"""`nlpkit segment`: words in running text."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from nlpkit.cli import messages
from nlpkit.cli.input import Encoding, Memory, OnError, TextKey, Threads, Tmp, check_written_once, input_paths
from nlpkit.cli.options import Force, Output, Quiet, Verbose
from nlpkit.cli.output import Format, default_format, open_output, write_records
from nlpkit.cli.progress import progress_bar
from nlpkit.cli.segmenter import Lexicon, Method, make_segmenter
from nlpkit.errors import OutputError

if TYPE_CHECKING:
    from nlpkit.lexicon.segment import Segmented

_FLUSHED_LINES = 512


def segment(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="Text to read, .gz, .xz and .zst too; - is standard input.",
            show_default=False,
            allow_dash=True,
        ),
    ] = None,
    method: Method = "lexicon",
    lexicon: Lexicon = None,
    format: Annotated[
        Literal["text", "jsonl", "tsv"] | None,
        typer.Option("--format", "-f", help="Output format.", show_default="text at a terminal, else jsonl"),
    ] = None,
    output: Output = None,
    force: Force = False,
    encoding: Encoding = "utf-8",
    text_key: TextKey = None,
    on_error: OnError = "skip",
    memory: Memory = None,
    tmp: Tmp = None,
    threads: Threads = None,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Cut text into words.

    Without --lexicon the text is read twice: once to discover its words, once to cut it. With
    --format text two spaces stand between words and nothing else of a line is changed.

    \b
    Example:
      nlpkit segment data/city.txt --method jieba --format text | head -n 3
    """
    from nlpkit.lexicon.segment import segment_lines
    from nlpkit.memory import default_memory
    from nlpkit.text import iter_lines, open_sources

    with ExitStack() as stack:
        out = stack.enter_context(open_output(output, force=force))
        progress = stack.enter_context(progress_bar())
        path = input_paths([file] if file else [])[0]
        check_written_once([path], output)
        texts: list[Any] = []
        if method != "jieba" and lexicon is None:
            path = stack.enter_context(_rereadable(path, tmp))
            opened = open_sources(
                [path],
                encoding=encoding,
                text_key=text_key,
                report=lambda _: None,  # the second reading says it
                spool_bytes=(memory or default_memory()) // 4,
                tmp=tmp,
            )
            start = sys.stdin.buffer.tell() if str(path) == "-" else 0
            texts = [source.data for source in stack.enter_context(opened)]
            if str(path) == "-":
                sys.stdin.buffer.seek(start)  # opening took it as read
        segmenter = make_segmenter(method, lexicon, texts, threads=threads, memory=memory, progress=progress)
        lines = iter_lines(
            [path], encoding=encoding, text_key=text_key, on_error=on_error, report=messages.warn
        )
        default = Format.TEXT if default_format(output) is Format.TABLE else Format.JSONL
        _write(segment_lines(lines, segmenter), out, Format(format) if format else default)


@contextmanager
def _rereadable(path: Path, tmp: Path | None) -> Iterator[Path]:
    """A path that can be read twice: a pipe is copied to a file, which takes the place of standard input."""
    from nlpkit.sources import open_file

    with ExitStack() as stack:
        source = stack.enter_context(open_file(path))
        if source.seekable():
            yield path
            return
        try:
            copy = stack.enter_context(tempfile.TemporaryFile(dir=tmp))
            shutil.copyfileobj(source, copy)
            copy.seek(0)
        except OSError as error:
            raise OutputError(f"cannot copy the input: {error.strerror}", hint="see --tmp") from None
        os.dup2(copy.fileno(), 0)
        sys.stdin = stack.enter_context(open(0, encoding="utf-8", closefd=False))
        yield Path("-")


def _write(rows: "Iterable[Segmented]", out: TextIO, format: Format) -> None:
    if format is not Format.TEXT:
        write_records(_records(rows, only_ours=format is Format.TSV), out, format)  # TSV has one header
        return
    rows = iter(rows)
    while some := list(islice(rows, _FLUSHED_LINES)):
        out.writelines(row.spaced() + row.line.ending for row in some)
        out.flush()


def _records(rows: "Iterable[Segmented]", *, only_ours: bool) -> Iterator[dict[str, Any]]:
    """Records of the words and their places; what else an input record holds is kept, unless only_ours."""
    for row in rows:
        record = row.line.record if row.line.record and not only_ours else {"text": row.line.text}
        yield {**record, "words": row.words(), "offsets": row.offsets()}
