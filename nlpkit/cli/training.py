"""What every `nlpkit train` offers: its options, and its progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from nlpkit.cli import messages
from nlpkit.cli.progress import Progress, progress_bar

ModelOutput = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="The model directory to write; the run lies in FOLDER.training.",
    ),
]
Dev = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Measure on this file, and keep the best model instead of the last."),
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help="Updates to make.", show_default="one epoch"),
]
Accumulate = Annotated[int, typer.Option(min=1, metavar="BATCHES", help="Batches of one update.")]
OptimizerName = Annotated[
    Literal["adam", "adafactor", "lion"], typer.Option("--optimizer", help="The rule of the updates.")
]
LearningRate = Annotated[float, typer.Option(help="The highest rate of the schedule.")]
LrSchedule = Annotated[
    str | None,
    typer.Option(
        metavar="STEP:MULTIPLE,...",
        help="The rate by step: 1000:1,5000:.1 rises to step 1000 and falls to a tenth at step 5000.",
        show_default="rise in the warm-up, then fall to 0",
    ),
]
Warmup = Annotated[float, typer.Option(min=0, max=0.99, help="Share of the steps in which the rate rises.")]
WeightDecay = Annotated[float, typer.Option(min=0, help="Decoupled weight decay.")]
LayerAdaptation = Annotated[
    bool,
    typer.Option("--layer-adaptation", help="Make updates as long as the weights that they move (LAMB)."),
]
Lookahead = Annotated[bool, typer.Option("--lookahead", help="Go back half the way every 5 updates.")]
Lazy = Annotated[bool, typer.Option("--lazy", help="Leave embeddings alone that had no gradient.")]
ClipNorm = Annotated[float, typer.Option(min=0, help="Largest norm of a gradient; 0 is no limit.")]
Ema = Annotated[
    float, typer.Option(min=0, max=0.99999, help="Decay of the average of the weights; 0 keeps none.")
]
EvaluateEvery = Annotated[int, typer.Option(min=1, metavar="STEPS", help="Measure and save this often.")]
Patience = Annotated[
    int, typer.Option(min=0, help="Stop after so many measurements without a better one; 0 is never.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in FOLDER.training.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a model and a run that are there.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the settings and sizes, and touch nothing.")]

StepReport = Callable[[int, int, Mapping[str, float]], None]


@contextmanager
def usage_error(option: str | None = None) -> Iterator[None]:
    """Turn the ValueError of a bad value, of one option or of several together, into a usage error."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


@contextmanager
def training_bar() -> Iterator[tuple[Progress, StepReport]]:
    """Yield what to tell about the preparation and about each step; evaluations become lines."""
    preparation = ExitStack()
    bar = _StepBar(preparation.close)
    try:
        with preparation:
            yield preparation.enter_context(progress_bar()), bar.report
    except KeyboardInterrupt:
        if bar.has_begun:
            messages.info("stopped; the same command with --resume goes on", level=0)
        raise
    finally:
        bar.close()


class _StepBar:
    """The bar of the steps, with the loss, the rate and the time left; at a terminal only."""

    def __init__(self, close_other: Callable[[], None]) -> None:
        self.has_begun = False
        self._close_other = close_other  # two bars at once would share the line, and leave it dirty
        self._bar: Any = None

    def report(self, step: int, steps: int, figures: Mapping[str, float]) -> None:
        """Show one step, or say what an evaluation found."""
        if not self.has_begun:
            self._close_other()
        self.has_begun = True
        if "loss" not in figures:
            if figures:
                shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
                messages.info(f"step {step}: {shown}", level=0)
            return
        if messages.verbosity < 0 or not sys.stderr.isatty():
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=steps,
                initial=step - 1,
                unit="step",
                dynamic_ncols=True,
                leave=False,
                file=sys.stderr,
            )
        self._bar.set_postfix_str(f"loss {figures['loss']:.3f}", refresh=False)
        self._bar.update(step - self._bar.n)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.close()
