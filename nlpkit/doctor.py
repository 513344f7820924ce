"""What this installation has, and whether it works: the checks behind `nlpkit doctor`.

Whatever is broken becomes a finding. TensorFlow takes seconds to import and can end the whole process,
so it is only looked up, and with `full` tried in a process of its own.
"""

from __future__ import annotations

import ast
import importlib
import platform
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from nlpkit import __version__
from nlpkit.errors import MissingDependencyError, ModelError, NlpkitError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from nlpkit.models import Listed

INSTALL_BERT = "pip install 'nlpkit[bert]'"
INSTALL_BERT4KERAS = "pip install --no-deps bert4keras==0.11.5"  # docs/adr/0002 says why apart
_INSTALL = {"bert4keras": INSTALL_BERT4KERAS, "huggingface_hub": "pip install 'nlpkit[hub]'"}
_BERT4KERAS = "bert4keras==0.11.5"
_REINSTALL = "pip install --force-reinstall nlpkit, in a checkout pip install -e ."
_EXTENSIONS = ("ngram._kernel", "lexicon._lexicon")
_LONGEST = 300  # code points of a cause; numpy's own is a page


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        check: What was looked at.
        value: What was found: a version, a size, or what is wrong.
        hint: The command or action that mends it, or adds an optional part; may be empty.
        is_warning: Something is odd, though nothing is broken.
        error: What it would be if a command met it; its exit code is the program's. None if all is well.
    """

    check: str
    value: str
    hint: str = ""
    is_warning: bool = False
    error: type[NlpkitError] | None = None

    @property
    def status(self) -> str:
        """One of ok, warning and error."""
        return "error" if self.error else "warning" if self.is_warning else "ok"

    def record(self) -> dict[str, str]:
        """Return the fields as they are written."""
        return {"check": self.check, "status": self.status, "value": self.value, "hint": self.hint}


def examine(
    *, full: bool = False, progress: Callable[[str, int, int], None] = lambda *_: None
) -> list[Finding]:
    """Run every check.

    Args:
        full: Read every model whole and run it, and run a small one in TensorFlow.
        progress: Called before each check with its name, its number and how many there are.

    Cost: a second; with full TensorFlow's start, some ten seconds, and a few seconds per GB of models.
    """
    findings: list[Finding] = []
    for number, (name, kind, check) in enumerate(_CHECKS):
        progress(name, number, len(_CHECKS))
        try:
            for finding in check(full):
                findings.append(finding)  # one by one: those before a failure stay
        except Exception as failure:
            findings.append(_failed(name, failure, kind, _REINSTALL))
    return findings


def _tried(name: str, kind: type[NlpkitError], hint: str, check: Callable[[], str]) -> Finding:
    """Return what a check found, or how it failed."""
    try:
        return Finding(name, check())
    except Exception as failure:
        return _failed(name, failure, kind, hint)


def _failed(name: str, failure: Exception, kind: type[NlpkitError], hint: str) -> Finding:
    if isinstance(failure, NlpkitError):
        return Finding(name, str(failure), failure.hint or hint, error=type(failure))
    return Finding(name, _cause(failure), hint, error=kind)


def _cause(failure: BaseException) -> str:
    """Return in one line what lies at the bottom of a failure."""
    while failure.__cause__ is not None:
        failure = failure.__cause__
    text = " ".join(str(failure).split())
    if not isinstance(failure, ImportError | OSError):
        text = f"{type(failure).__name__}: {text}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _program(full: bool) -> Iterator[Finding]:
    yield Finding("nlpkit", f"{__version__} in {Path(__file__).parent}")
    yield Finding("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")


def _packages(full: bool) -> Iterator[Finding]:
    """Look for each package that the program cannot do without, and import it."""
    from nlpkit.installed import required, versions

    for requirement in required():
        install = f"pip install --force-reinstall '{requirement}'"
        yield _tried(requirement.name, MissingDependencyError, install, partial(_package, requirement))
    if len(versions("onnxruntime")) > 1:
        yield Finding(
            "onnxruntime",
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files",
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'onnxruntime-gpu[cuda,cudnn]'",
            is_warning=True,
        )


def _package(requirement: Requirement) -> str:
    """Return the version of a package that is installed, and can be imported.

    Raises:
        MissingDependencyError: it is absent, of another version, or broken.
    """
    version = _version(requirement)
    if not version:
        raise MissingDependencyError("not installed")
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):  # some print why they fail
            warnings.simplefilter("ignore")  # jieba's source has invalid escapes
            module = importlib.import_module(requirement.name)
    except Exception as failure:
        raise MissingDependencyError(f"{version} cannot be imported: {_cause(failure)}") from None
    if requirement.name != "onnxruntime":
        return version
    # Every build lists Azure, which would send texts away; nothing here ever asks for it.
    names = [name.removesuffix("ExecutionProvider") for name in module.get_available_providers()]
    return f"{version}, runs on {', '.join(name for name in names if name != 'Azure')}"


def _version(requirement: Requirement) -> str:
    """Return the version that is installed, "" for none.

    Raises:
        MissingDependencyError: it is not one of those that are asked for.
    """
    from nlpkit.installed import versions

    version = next(iter(versions(requirement.name).values()), "")
    if version and not requirement.specifier.contains(version, prereleases=True):
        raise MissingDependencyError(f"{version}, but {requirement.specifier} is needed")
    return version


def _training(full: bool) -> Iterator[Finding]:
    """Look for the optional packages: all of those that belong together, or none."""
    from packaging.requirements import Requirement

    from nlpkit.installed import required, versions

    needed = {requirement.name: requirement for requirement in required("bert")}
    for version in versions("tensorflow").values():  # tf-keras is made for one minor version
        needed["tf-keras"] = Requirement(f"tf-keras=={'.'.join(version.split('.')[:2])}.*")
    needed["bert4keras"] = Requirement(_BERT4KERAS)
    some = any(versions(name) for name in needed if name != "six")  # six is a need of many packages
    findings = [_optional(requirement, needed=some) for requirement in needed.values()]
    yield from findings
    yield from (_optional(requirement, needed=False) for requirement in required("hub"))
    if full and some and all(finding.status == "ok" for finding in findings):
        yield from _tensorflow_runs()


def _optional(requirement: Requirement, *, needed: bool) -> Finding:
    install = _INSTALL.get(requirement.name, INSTALL_BERT)
    found = _tried(requirement.name, MissingDependencyError, install, partial(_version, requirement))
    if found.value:
        return found
    missing = "not installed, and training needs it" if needed else "not installed (optional)"
    return Finding(requirement.name, missing, install, is_warning=needed)


def _tensorflow_runs() -> Iterator[Finding]:
    from nlpkit.bert.probe import probe_apart

    began = time.perf_counter()
    found = probe_apart()
    seconds = time.perf_counter() - began
    yield Finding("training", f"a small model runs with bert4keras on {found['keras']}, {seconds:.0f} s")
    unused = bool(_gpus() and not found["gpus"])
    hint = "pip install 'nlpkit[cuda]'" if unused else ""
    yield Finding("tensorflow gpu", ", ".join(found["gpus"]) or "none", hint, is_warning=unused)


def _kernels(full: bool) -> Iterator[Finding]:
    for name in _EXTENSIONS:
        yield _tried(name, MissingDependencyError, _REINSTALL, partial(_kernel, name))


def _kernel(name: str) -> str:
    """Load a C extension, and compare what it has with what its .pyi file promises.

    Raises:
        MissingDependencyError: it was built from other sources.
    """
    module = importlib.import_module(f"nlpkit.{name}")
    stub = Path(__file__).parent.joinpath(*name.split(".")).with_suffix(".pyi")
    tree = ast.parse(stub.read_text("utf-8"))
    promised = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    missing = [function for function in promised if not hasattr(module, function)]
    if missing:
        raise MissingDependencyError(f"built from other sources: it has no {', '.join(missing)}")
    return f"C extension, {len(promised)} functions"


def _devices(full: bool) -> Iterator[Finding]:
    from nlpkit.memory import default_threads, memory_available

    yield Finding("cpu", f"threads {default_threads()}, free memory {memory_available() / 2**30:.1f} GiB")
    yield Finding("gpu", ", ".join(_gpus()) or "none")


def _gpus() -> list[str]:
    """Return the name and memory of each GPU that the driver's own program lists."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip().replace(", ", " ") for line in done.stdout.splitlines() if line.strip()]


def _models(full: bool) -> Iterator[Finding]:
    """Count the models of each folder, and compare the files of each model with its manifest."""
    from nlpkit.models import list_models, model_folders

    listed = list_models()
    homes = [Path(model.folder).resolve().parent for model in listed]
    folders = [folder.resolve() for folder in model_folders()]
    shipped = folders[-1]
    for folder in dict.fromkeys(folders):  # in a checkout the first is what ships too
        absent = "" if folder.is_dir() else " (absent)"
        yield Finding("models", f"{homes.count(folder)} in {folder}{absent}")
    if shipped not in homes:
        yield Finding("models", "none of the models that ship is there", _REINSTALL, is_warning=True)
    for model, home in zip(listed, homes, strict=True):
        check = partial(_model, model, hashes=full or home == shipped, run=full)
        yield _tried(f"model {model.name}", ModelError, "", check)


def _model(model: Listed, *, hashes: bool, run: bool) -> str:
    """Describe a model whose files are as its manifest says, and with `run` one that runs.

    Raises:
        ModelError: they are not, or what comes out is no number.
    """
    from nlpkit.models import read_manifest, verify

    size = f"{model.num_bytes / 1e6:.1f} MB"
    if not model.task and not model.error:
        return f"checkpoint of another program, {size}"
    folder = Path(model.folder)
    verify(folder, read_manifest(folder), hashes=hashes)
    if run:
        import numpy as np

        from nlpkit.bert.checkpoint import open_checkpoint
        from nlpkit.bert.encoder import open_encoder

        encode = open_encoder(open_checkpoint(folder), runtime="onnx")
        if not np.isfinite(encode(np.array([[1, 2, 3]]))).all():
            raise ModelError(f"{folder}: the model gives numbers that are not finite")
    return f"{model.task}, {model.architecture}, {size}"


_CHECKS: list[tuple[str, type[NlpkitError], Callable[[bool], Iterator[Finding]]]] = [
    ("program", MissingDependencyError, _program),
    ("packages", MissingDependencyError, _packages),
    ("training", MissingDependencyError, _training),
    ("kernels", MissingDependencyError, _kernels),
    ("devices", MissingDependencyError, _devices),
    ("models", ModelError, _models),
]
