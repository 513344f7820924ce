"""`nlpkit evaluate`: how good the results are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nlpkit.cli import messages
from nlpkit.cli.input import (
    Encoding,
    OnError,
    Seed,
    TextKey,
    Threads,
    check_written_once,
    input_paths,
)
from nlpkit.cli.model import BatchTokens, Device, Offline, RunDtype, Runtime, complete_model, find_folder
from nlpkit.cli.options import Force, Output, Quiet, Verbose
from nlpkit.cli.output import Format, default_format, open_output, write_records
from nlpkit.cli.progress import progress_bar
from nlpkit.cli.segmenter import Lexicon, Method, make_segmenter
from nlpkit.errors import InputError

if TYPE_CHECKING:
    from nlpkit.text import Line

app = typer.Typer(no_args_is_help=True, help="Measure results against dictionaries and gold data.")

ScoreFormat = Annotated[
    Literal["table", "jsonl", "tsv"] | None,
    typer.Option("--format", "-f", help="Output format.", show_default="table at a terminal, else jsonl"),
]
_WINDOW = 128  # tokens around a masked one
_RANKS = [100, 1000, 5000, 20000]


@app.command()
def words(
    found: Annotated[
        Path, typer.Argument(metavar="FOUND", help="Words, best first, as discover writes them.")
    ],
    known: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Dictionary to look words up in; jieba is jieba's own. Repeatable."
        ),
    ] = None,
    at: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="RANK", help="Down to which rank. Repeatable.", show_default=str(_RANKS)),
    ] = None,
    format: ScoreFormat = None,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Precision of a list of words: how many of the first ones a dictionary lists.

    A list with fewer words than a rank is scored as long as it is.

    \b
    Example:
      nlpkit discover data/ev.txt --all | nlpkit evaluate words - --at 100
    """
    from nlpkit.discover.inputs import dictionary_path
    from nlpkit.discover.metrics import precision_at
    from nlpkit.lexicon.dictionary import read_words

    listed: set[str] = set()
    for name in known or [Path("jieba")]:
        listed.update(read_words(dictionary_path(name)))
    ranked = read_words(found)
    with open_output(output, force=force) as out:
        scores = precision_at(ranked, listed, sorted(at or _RANKS))
        write_records(scores, out, Format(format) if format else default_format(output))


@app.command()
def segment(
    gold: Annotated[
        Path, typer.Argument(metavar="GOLD", help="Text with words parted by blanks, a sentence a line.")
    ],
    found: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Score this segmentation, of the same form, instead of making one."
        ),
    ] = None,
    method: Method = "lexicon",
    lexicon: Lexicon = None,
    threads: Threads = None,
    format: ScoreFormat = None,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Precision, recall and F1 of a segmentation, as SIGHAN counts them.

    The blanks of the gold text are taken out and the text is segmented again as `nlpkit segment` does.
    Without --lexicon the lexicon is discovered from the text of the gold file itself.

    \b
    Example:
      nlpkit evaluate segment data/gold/segment.txt --method jieba
    """
    from nlpkit.lexicon.metrics import score_segmentation

    gold_lines = _read_segmented(gold)
    if found is not None:
        found_lines = _read_segmented(found)
        if len(found_lines) != len(gold_lines):
            raise InputError(f"{found}: {len(found_lines):,} lines, but {gold} has {len(gold_lines):,}")
    else:
        texts = ["".join(words) for words in gold_lines]
        with progress_bar() as progress:
            whole = "\n".join(texts).encode("utf-8", "surrogatepass")
            segmenter = make_segmenter(method, lexicon, [whole], threads=threads, progress=progress)
        found_lines = [[piece for piece in line if not piece.isspace()] for line in segmenter.cut(texts)]
    try:
        score = score_segmentation(zip(gold_lines, found_lines, strict=True))
    except ValueError as error:
        raise InputError(f"{found}: {error}") from None
    with open_output(output, force=force) as out:
        write_records([score], out, Format(format) if format else default_format(output))


@app.command()
def mlm(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Raw text, a paragraph a line; - is standard input."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="A name, a folder, or hf:ORG/NAME. Repeatable: each gives a row.",
            show_default="mlm-zh-tiny",
            autocompletion=complete_model,
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, metavar="POSITIONS", help="How many characters to ask for.")
    ] = 2000,
    seed: Seed = 0,
    runtime: Runtime = "auto",
    device: Device = "auto",
    dtype: RunDtype = "float32",
    batch_tokens: BatchTokens = 8192,
    threads: Threads = None,
    offline: Offline = False,
    encoding: Encoding = "utf-8",
    text_key: TextKey = None,
    on_error: OnError = "skip",
    format: ScoreFormat = None,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """How well a masked language model guesses Chinese characters, one masked at a time.

    Every model is asked for the same characters of the text, drawn by --seed, each in a window of
    128 tokens, or of as many as the model takes. A character outside the model's vocabulary counts as wrong.

    \b
    Example:
      nlpkit evaluate mlm data/city.txt --limit 200
    """
    from nlpkit.bert.checkpoint import open_checkpoint
    from nlpkit.bert.encoder import open_masked_lm
    from nlpkit.bert.tokenizer import Tokenizer
    from nlpkit.mlm.evaluate import choose_questions, score_model
    from nlpkit.text import iter_lines

    paths = input_paths([file] if file else [])
    check_written_once(paths, output)
    folders = {name: find_folder(name, offline=offline) for name in model or ["mlm-zh-tiny"]}
    options: Any = {"runtime": runtime, "device": device, "dtype": dtype, "threads": threads}
    with open_output(output, force=force) as out:
        lines = iter_lines(
            paths, encoding=encoding, text_key=text_key, on_error=on_error, report=messages.warn
        )
        questions = choose_questions((line.text for line in lines), limit, seed)
        scores = []
        with progress_bar() as progress:
            for name, folder in folders.items():
                checkpoint = open_checkpoint(folder)
                guess = open_masked_lm(checkpoint, report=messages.warn, **options)
                tokenizer = Tokenizer(checkpoint.vocabulary, lower_case=checkpoint.lower_case)
                score = score_model(
                    name,
                    guess,
                    tokenizer,
                    questions,
                    window=min(_WINDOW, checkpoint.config.max_length or _WINDOW),
                    batch_tokens=batch_tokens,
                    progress=progress,
                )
                scores.append(score)
        write_records(scores, out, Format(format) if format else default_format(output))


def _read_segmented(path: Path) -> list[list[str]]:
    from nlpkit.text import iter_lines

    lines = [_words(line, path) for line in iter_lines([path], on_error="fail") if line.text.strip()]
    if lines and all(len(words) == 1 for words in lines):
        raise InputError(f"{path}: no line is cut into words", hint="words are parted by blanks")
    return lines


def _words(line: "Line", path: Path) -> list[str]:
    """The words of a line, or of a record that `nlpkit segment` wrote."""
    if line.record is None:
        return line.text.split()
    words = line.record.get("words")
    if not isinstance(words, list):
        raise InputError(f"{path}:{line.number}: a record without words", hint="nlpkit segment writes them")
    return [str(word) for word in words]
