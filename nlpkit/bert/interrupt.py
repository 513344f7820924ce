"""Ctrl-C while something must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupt_flag() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag, so that a step is never left half done; the second acts.

    Signals reach the main thread only; elsewhere Ctrl-C is left as it is, and so it is where it was
    switched off, as under nohup.
    """
    seen = threading.Event()
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield seen.is_set
        return

    def note(number: int, frame: Any) -> None:
        if seen.is_set():
            signal.default_int_handler(number, frame)
        seen.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen.is_set
    finally:
        signal.signal(signal.SIGINT, before)
