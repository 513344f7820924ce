"""Chinese text on the command line and from Python. Importing this package loads nothing heavy."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nlpkit.records import CorpusStats, Word

__all__ = ["CorpusStats", "Word", "__version__"]
__version__ = "0.1.0"

_HOMES = {"CorpusStats": "nlpkit.records", "Word": "nlpkit.records"}


def __getattr__(name: str) -> object:
    """Load a public name from its module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'nlpkit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
