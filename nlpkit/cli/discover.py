"""`nlpkit discover`: new words from raw text."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nlpkit.cli import messages
from nlpkit.cli.input import (
    Encoding,
    Memory,
    OnError,
    Seed,
    TextKey,
    Threads,
    Tmp,
    check_read_once,
    check_written_once,
    input_paths,
)
from nlpkit.cli.options import Force, Output, Quiet, Verbose
from nlpkit.cli.output import Format, default_format, open_binary, open_output, refuse_existing, write_records
from nlpkit.cli.progress import progress_bar
from nlpkit.errors import InputError

if TYPE_CHECKING:
    from nlpkit.discover.pipeline import Discovery
    from nlpkit.text import Source

DEFAULT_KNOWN = (Path("jieba"),)
_MOST_BROKEN = 0.1  # of a text's code points, beyond which it may be text of another encoding


def discover(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Text to read, .gz, .xz and .zst too; - is standard input.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        Literal["entropy", "cohesion"],
        typer.Option(help="entropy: cohesion, branching entropies and edges; cohesion: the seed algorithm."),
    ] = "entropy",
    min_count: Annotated[
        int | None,
        typer.Option(min=1, help="Least occurrences of a word.", show_default="grows with the text"),
    ] = None,
    max_order: Annotated[int, typer.Option(min=2, max=8, help="Longest n-gram that is counted.")] = 4,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine", help="Re-estimate the words as a model of the whole text: about a second for each MB."
        ),
    ] = False,
    new_only: Annotated[
        bool | None,
        typer.Option(
            "--new-only/--all",
            help="Leave out known words, or only mark them.",
            show_default="new only; all with --refine",
        ),
    ] = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Dictionary of known words, one a line; jieba is jieba's own. Repeatable.",
            show_default="jieba",
        ),
    ] = None,
    background: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Text or saved counts to compare with: ranks by log-likelihood ratio. Repeatable.",
        ),
    ] = None,
    split_latin: Annotated[
        bool,
        typer.Option("--split-latin", help="Count Latin letters and digits one by one, not as units."),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Only the best N words.", show_default="all"),
    ] = None,
    counts: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Add saved counts to those of the text, or take them alone if no FILE is given. Repeatable.",
        ),
    ] = None,
    save_counts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Save the counts of this run.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page to look at, too.", show_default=False),
    ] = None,
    format: Annotated[
        Literal["table", "jsonl", "tsv", "jieba"] | None,
        typer.Option("--format", "-f", help="Output format.", show_default="table at a terminal, else jsonl"),
    ] = None,
    output: Output = None,
    force: Force = False,
    encoding: Encoding = "utf-8",
    text_key: TextKey = None,
    on_error: OnError = "skip",
    memory: Memory = None,
    tmp: Tmp = None,
    threads: Threads = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Find words that no dictionary lists.

    Counts every n-gram of the text exactly and keeps those that hold together inside and stand freely
    outside. Without --all, words that jieba knows are left out. Needs no model.

    \b
    Example:
      nlpkit discover data/ev.txt data/ai.txt --limit 5
    """
    from nlpkit.discover.inputs import open_background, open_known
    from nlpkit.discover.pipeline import Settings
    from nlpkit.discover.pipeline import discover as find
    from nlpkit.discover.report import write_report
    from nlpkit.memory import default_memory, default_threads
    from nlpkit.ngram.saved import save_counts as save
    from nlpkit.text import open_sources

    paths = [] if counts and not files else input_paths(files or [])
    check_read_once(paths, known or (), background or ())
    check_written_once([*paths, *(known or ()), *(background or ())], output, report, save_counts)
    memory_bytes = default_memory() if memory is None else memory
    spool_bytes = memory_bytes // 4
    with ExitStack() as stack:
        try:
            settings = Settings(
                method=method,
                min_count=min_count,
                max_order=max_order,
                split_latin=split_latin,
                refine=refine,
                seed=seed,
                new_only=not refine if new_only is None else new_only,
                known=stack.enter_context(
                    open_known(known or DEFAULT_KNOWN, spool_bytes=spool_bytes, tmp=tmp)
                ),
                counts=counts or (),
                keep_counts=save_counts is not None,
                background=stack.enter_context(
                    open_background(
                        background or (),
                        encoding=encoding,
                        report=messages.warn,
                        spool_bytes=spool_bytes,
                        tmp=tmp,
                    )
                ),
                threads=threads or default_threads(),
                memory_bytes=memory_bytes,
                tmp=tmp,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        sources = stack.enter_context(
            open_sources(
                paths,
                encoding=encoding,
                text_key=text_key,
                on_error=on_error,
                report=messages.warn,
                spool_bytes=spool_bytes,
                tmp=tmp,
            )
        )
        _refuse_counts(sources)
        for path in (report, save_counts):
            refuse_existing(path, force=force)
        out = stack.enter_context(open_output(output, force=force))
        with progress_bar() as progress:
            found = find([source.data for source in sources], settings, progress=progress)
        _tell(found, sources, encoding, on_error)
        # What is written beside comes first: the reader of standard output may stop reading.
        if save_counts and found.counted:
            with open_binary(save_counts, force=force) as file:
                save(found.counted, file)
        if report:
            title = ", ".join(str(path) for path in [*paths, *(counts or ())])
            with open_output(report, force=force) as page:
                write_report(islice(found.words(), limit), found.stats, page, title=title)
        chosen = Format(format) if format else default_format(output)
        records = _entries(found) if chosen is Format.JIEBA else found.words()
        write_records(islice(records, limit), out, chosen)


def _refuse_counts(sources: "list[Source]") -> None:
    from nlpkit.ngram.saved import is_saved_counts

    for source in sources:
        if is_saved_counts(source.data):
            raise InputError(
                f"{source.name}: these are saved counts, not text", hint="give them with --counts"
            )


def _entries(found: "Discovery") -> Iterator[dict[str, str | int]]:
    """The words as entries of a dictionary, whose counts are whole numbers."""
    for word, tokens in found.lexicon().items():
        yield {"word": word, "count": max(round(tokens), 1)}


def _refuse_gb18030(source: "Source", text: str) -> None:
    """Refuse what is full of broken UTF-8 but good GB18030, the other encoding that Chinese text has."""
    with suppress(UnicodeDecodeError):
        bytes(source.data[:65536]).rpartition(b"\n")[0].decode("gb18030")
        raise InputError(text, hint="it reads as GB18030: --encoding gb18030")


def _tell(found: "Discovery", sources: "list[Source]", encoding: str, on_error: str) -> None:
    """Say what was odd about the text, and under -v what was read."""
    stats = found.stats
    if found.census.broken_at:
        number, byte = found.census.broken_at
        line = bytes(sources[number].data[:byte]).count(b"\n") + 1
        text = (
            f"{sources[number].name}:{line}: not {encoding}, {stats.num_broken:,} broken sequences in all, "
            f"the first at code point {stats.first_broken:,}"
        )
        if on_error == "fail":
            raise InputError(text, hint="--on-error skip goes on; --encoding reads other encodings")
        if encoding == "utf-8" and stats.num_broken > _MOST_BROKEN * stats.num_code_points:
            _refuse_gb18030(sources[number], text)
        messages.warn(text)
    if sources and not stats.num_symbols:
        messages.warn("the text has no words: it is empty, or has no letters")
    elif not len(found):
        messages.warn(f"no word found; the least count was {stats.min_count}: see --min-count and --all")
    messages.info(
        f"{stats.num_bytes:,} bytes, {stats.num_symbols:,} symbols, {stats.num_distinct_symbols:,} "
        f"different; {len(found):,} words with at least {stats.min_count} occurrences"
    )
