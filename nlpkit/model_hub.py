"""Checkpoints of the Hugging Face Hub, by way of huggingface_hub and its cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nlpkit.errors import MissingDependencyError, ModelError, NlpkitError, OutputError
from nlpkit.model_manifest import MANIFEST, read_manifest

_DESCRIBED_BY = [
    "*.json",
    "*.txt",
]  # configs, vocabulary, tokenizer files, nlpkit.json, the parts of split weights
_SAFE = ["*.safetensors"]
_OTHERS = ["pytorch_model*.bin", "*.ckpt*", "checkpoint"]
_NETWORK = "check the network and try again, what was fetched is kept; HF_ENDPOINT names a mirror"


def fetch(spec: str, *, offline: bool) -> Path:
    """Return the folder of a repository in the cache, where it is fetched to.

    Only files of the repository's top folder are taken: what describes the model, and its weights in
    one form, safetensors where there are any.

    Args:
        spec: ORG/NAME or ORG/NAME@REVISION; a revision is a branch, a tag or a commit.
        offline: Fetch nothing.

    Raises:
        MissingDependencyError: huggingface_hub is not installed.
        ModelError: no such repository or revision, no leave to read it, no network and not in the cache.
        OutputError: no room for the files.
    """
    # Read when the package is imported; the user's own setting stands.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingDependencyError(
            "hf: names need the package huggingface_hub", hint="pip install huggingface_hub"
        ) from None

    repository, _, revision = spec.partition("@")

    def get(patterns: list[str]) -> Path:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                local_files_only=offline,
                allow_patterns=patterns,
                ignore_patterns="*/*",
            )
        )

    with _problems(f"hf:{spec}", offline):
        folder = get([*_DESCRIBED_BY, *_SAFE])
        if (folder / MANIFEST).is_file():  # a model directory of ours may have more, such as a graph
            return get([*_DESCRIBED_BY, *read_manifest(folder).files])
        if not any(folder.glob("*.safetensors")):
            return get([*_DESCRIBED_BY, *_OTHERS])
    return folder


@contextmanager
def _problems(place: str, offline: bool) -> Iterator[None]:
    """Turn what huggingface_hub raises into our errors."""
    from huggingface_hub import errors

    try:
        yield
    except NlpkitError:
        raise
    except errors.GatedRepoError:
        raise ModelError(
            f"{place}: the repository is gated", hint="ask for access on its page, then `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ModelError(
            f"{place}: no such repository, or it is private",
            hint="check the spelling of ORG/NAME; a private one needs `hf auth login`",
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelError(
            f"{place}: no such revision", hint="a branch, a tag or a commit stands behind the @"
        ) from None
    except errors.HFValidationError:
        raise ModelError(f"{place}: this names no repository", hint="write hf:ORG/NAME") from None
    except errors.LocalEntryNotFoundError as error:
        if offline:
            raise ModelError(f"{place}: not in the cache", hint="without --offline it is fetched") from error
        raise ModelError(f"{place}: not in the cache, and the Hub does not answer", hint=_NETWORK) from error
    except Exception as error:  # those of its HTTP library have changed their names before
        if isinstance(error, OSError) and error.errno is not None:
            raise OutputError(
                f"{error.filename or place}: cannot keep the files: {error.strerror}"
            ) from error
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelError(f"{place}: cannot be fetched: {reason}", hint=_NETWORK) from error
