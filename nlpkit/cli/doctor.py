"""`nlpkit doctor`: what this installation has, and whether it works."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from nlpkit.cli import messages
from nlpkit.cli.options import Force, Output, Quiet, Verbose
from nlpkit.cli.output import Format, default_format, open_output, write_records
from nlpkit.cli.progress import Progress, progress_bar

if TYPE_CHECKING:
    from nlpkit.doctor import Finding


def doctor(
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Read every model whole and run it; run a small one in TensorFlow: half a minute."
        ),
    ] = False,
    format: Annotated[
        Literal["table", "jsonl", "tsv"] | None,
        typer.Option("--format", "-f", help="Output format.", show_default="table at a terminal, else jsonl"),
    ] = None,
    output: Output = None,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Check this installation: versions, C extensions, runtimes, devices, models.

    An optional part that is absent is no error. Where something is broken the exit code is that of the
    first error: 4 for a model, 5 for a package, a version or a C extension.

    \b
    Example:
      nlpkit doctor --full
    """
    from nlpkit.doctor import examine

    with open_output(output, force=force) as out:
        with _bar() as progress:
            findings = examine(full=full, progress=progress)
        _write(findings, out, Format(format) if format else default_format(output))
    codes = []
    for finding in findings:
        line = f"{finding.check}: {finding.value}"
        if finding.error:
            messages.error(line, finding.hint)
            codes.append(finding.error.exit_code)
        elif finding.is_warning:
            messages.warn(f"{line}; {finding.hint}" if finding.hint else line)
    if codes:
        raise typer.Exit(codes[0])


def _bar() -> AbstractContextManager[Progress]:
    try:
        import tqdm  # noqa: F401
    except Exception:  # what is broken is for the report to say
        return nullcontext(lambda *_: None)
    return progress_bar()


def _write(findings: "list[Finding]", out: TextIO, format: Format) -> None:
    records = [finding.record() for finding in findings]
    if format is not Format.TABLE:
        write_records(records, out, format)
        return
    try:
        write_records([dict(list(record.items())[:3]) for record in records], out, format)
    except ImportError:  # Rich is what is broken
        write_records(records, out, Format.TSV)
        return
    # A hint is a command to copy: it must not be cut as the last column of a table is.
    hints = [f"{f.check}: {f.hint}\n" for f in findings if f.hint and f.status == "ok"]
    if hints:
        out.writelines(["\nOptional parts:\n", *hints])
