"""How a segmenter is chosen, for the commands that use one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nlpkit.cli.progress import Progress

if TYPE_CHECKING:
    from nlpkit.lexicon.segment import Segmenter

Method = Annotated[
    Literal["lexicon", "jieba"],
    typer.Option(help="lexicon: the likeliest words of a lexicon; jieba: as jieba cuts."),
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
    method: Literal["lexicon", "jieba"],
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

    return LexiconSegmenter(_discovered(texts, threads, memory, progress) if words is None else words)


def _discovered(
    texts: Sequence[Any], threads: int | None, memory: int | None, progress: Progress
) -> dict[str, float]:
    """The words of the texts with their counts."""
    from nlpkit.discover.pipeline import Settings, discover
    from nlpkit.memory import default_memory, default_threads

    settings = Settings(
        refine=True,
        new_only=False,
        threads=threads or default_threads(),
        memory_bytes=memory or default_memory(),
    )
    return discover(texts, settings, progress=progress).lexicon()
