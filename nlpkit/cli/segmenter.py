"""How a segmenter is chosen, for the commands that use one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nlpkit.cli.progress import Progress

if TYPE_CHECKING:
    from nlpkit.lexicon.segment import Segmenter

Method = Annotated[
    Literal["lexicon", "connection", "jieba"],
    typer.Option(
        help="lexicon: the likeliest words of a lexicon; connection: cut only where none of its words "
        "covers both sides; jieba: as jieba cuts."
    ),
]
Lexicon = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Words with their counts, as in a jieba dictionary.",
        show_default="discovered from the text itself; for jieba, jieba's",
    ),
]


def make_segmenter(
    method: Literal["lexicon", "connection", "jieba"],
    lexicon: Path | None,
    texts: Sequence[Any],
    *,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress,
) -> "Segmenter":
    """Make the segmenter of a method, with a lexicon from a file or from the texts themselves."""
    from nlpkit.lexicon.dictionary import read_dictionary

    words = read_dictionary(lexicon) if lexicon else None
    if method == "jieba":
        from nlpkit.lexicon.jieba_cut import JiebaSegmenter

        return JiebaSegmenter(words)
    from nlpkit.lexicon.segmenter import LexiconSegmenter

    connect = method == "connection"
    if words is None:
        words = _discovered(texts, connect, threads, memory, progress)
    return LexiconSegmenter(words, connect=connect)


def _discovered(
    texts: Sequence[Any], connect: bool, threads: int | None, memory: int | None, progress: Progress
) -> dict[str, float]:
    """The words of the texts with their counts: those that a connection needs are the seed algorithm's."""
    from nlpkit.discover.pipeline import Settings, discover
    from nlpkit.discover.scores import default_min_count
    from nlpkit.memory import default_memory, default_threads

    settings = Settings(
        method="cohesion" if connect else "entropy",
        min_count=default_min_count(sum(map(len, texts)) // 3) if connect else None,
        refine=not connect,
        new_only=False,
        threads=threads or default_threads(),
        memory_bytes=memory or default_memory(),
    )
    return discover(texts, settings, progress=progress).lexicon()
