"""`nlpkit doctor`: what it finds, and that nothing broken can break it."""

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from nlpkit import doctor
from nlpkit.errors import MissingDependencyError, ModelError

ROOT = Path(__file__).parents[2]
BERT_STACK = {"six": "1.17.0", "tensorflow": "2.21.0", "tf-keras": "2.21.0", "bert4keras": "0.11.5"}


@pytest.fixture
def versions(monkeypatch):
    """Let versions(tensorflow=None, ...) decide what is installed; None is not at all."""
    real = metadata.version

    def pretend(**names):
        there = {name.replace("_", "-"): version for name, version in names.items()}

        def version(name):
            if name not in there:
                return real(name)
            if there[name] is None:
                raise metadata.PackageNotFoundError(name)
            return there[name]

        monkeypatch.setattr(metadata, "version", version)

    return pretend


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The three folders of models, empty: here, the user's own, and what ships."""
    places = [tmp_path / name for name in ("here", "own", "shipped")]
    monkeypatch.setattr("nlpkit.models.model_folders", lambda: places)
    return places


def package(folder, name, version, code=""):
    """Put a package with its metadata into a folder."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code, "utf-8")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")


def before(folder):
    """The environment in which a folder's packages come before those that are installed."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def found(name, **options):
    """Return the findings of one name."""
    return [finding for finding in doctor.examine(**options) if finding.check == name]


def model(folder):
    """Save a small model directory."""
    from nlpkit.models import Manifest, save_model

    manifest = Manifest(folder.name, "mlm", "bert", config={"vocab_size": 1}, tokenizer={"lower_case": True})
    save_model(folder, manifest, ["[PAD]"], {"a": np.ones(256, np.float32)}, "A card.\n")
    return folder


def change_weights(folder):
    """Change one byte, so that the file keeps its size."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def bad_model(folder):
    """Put a model with half a manifest where it is searched for first."""
    (folder / "models/bad").mkdir(parents=True)
    (folder / "models/bad/nlpkit.json").write_text('{"format":\n', "utf-8")


def test_reports_versions_as_records(nlpkit, tmp_path):
    done = nlpkit("doctor", "--format", "jsonl", env={"XDG_DATA_HOME": str(tmp_path)})
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert all(list(record) == ["check", "status", "value", "hint"] for record in records)
    values = {record["check"]: record["value"] for record in records}
    assert values["python"].split(",")[0] == platform.python_version()
    assert values["numpy"] == np.__version__
    assert values["ngram._kernel"].startswith("C extension")
    assert "CPU" in values["onnxruntime"]


def test_does_not_load_tensorflow():
    code = (
        "import sys\nsys.argv[1:] = ['doctor', '-q']\nfrom nlpkit.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print({'numpy', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("{'numpy'}\n")


def test_table_names_below_it_what_could_be_added(nlpkit, tmp_path):
    hidden = """
from importlib import metadata
real = metadata.version
def version(name):
    if name == "huggingface_hub":
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
"""
    (tmp_path / "sitecustomize.py").write_text(hidden, "utf-8")
    lines = nlpkit("doctor", "-f", "table", env=before(tmp_path)).stdout.splitlines()
    assert lines[0].split() == ["check", "status", "value"]
    assert lines[lines.index("Optional parts:") + 1 :][-1] == "huggingface_hub: pip install 'nlpkit[hub]'"


def test_an_error_comes_with_its_hint_also_beside_a_table(nlpkit, tmp_path):
    package(tmp_path, "tensorflow", "2.15.0")
    done = nlpkit("doctor", "-f", "table", env=before(tmp_path))
    said = done.stderr.splitlines()
    place = said.index("nlpkit: error: tensorflow: 2.15.0, but <2.22,>=2.20 is needed")
    assert said[place + 1] == "nlpkit: hint: pip install 'nlpkit[bert]'"
    assert done.returncode == 5


def test_survives_a_package_that_cannot_be_imported(nlpkit, tmp_path):
    cause = "raise ImportError('a page of\\n\\nadvice') from ImportError('libblas.so: not found')"
    package(tmp_path, "numpy", np.__version__, cause)
    bad_model(tmp_path)
    done = nlpkit("doctor", "-f", "tsv", cwd=tmp_path, env=before(tmp_path))
    rows = {line.split("\t")[0]: line.split("\t") for line in done.stdout.splitlines()}
    assert rows["numpy"][1] == "error"
    assert rows["numpy"][2].endswith("cannot be imported: libblas.so: not found")
    assert rows["python"][1] == rows["cpu"][1] == "ok", "the other checks went on"
    assert done.stderr.splitlines()[0].startswith("nlpkit: error: numpy: ")
    assert "Traceback" not in done.stderr
    assert rows["model bad"][1] == "error"
    assert done.returncode == 5, "the first error is numpy's"


def test_writes_no_table_without_rich(nlpkit, tmp_path):
    package(tmp_path, "rich", "15.0", "raise ImportError('no rich')")
    done = nlpkit("doctor", "-f", "table", env=before(tmp_path))
    assert done.stdout.startswith("check\tstatus\tvalue\thint\n")
    assert "nlpkit: error: rich: 15.0 cannot be imported: no rich" in done.stderr
    assert done.returncode == 5


def test_a_damaged_manifest_is_a_model_error(nlpkit, tmp_path):
    bad_model(tmp_path)
    out = tmp_path / "report.tsv"
    done = nlpkit("doctor", "-f", "tsv", "-o", out, cwd=tmp_path)
    rows = [line.split("\t") for line in out.read_text("utf-8").splitlines()]
    [row] = [row for row in rows if row[0] == "model bad"]
    assert row[1] == "error"
    assert row[2].startswith("models/bad/nlpkit.json:2: ")
    assert "nlpkit: error: model bad: models/bad/nlpkit.json:2: " in done.stderr
    assert done.returncode == 4


def test_counts_the_models_of_each_folder(folders):
    here, own, shipped = folders
    model(own / "mine")
    model(shipped / "one")
    model(shipped / "two")
    counts = [finding.value for finding in found("models")]
    assert counts == [f"0 in {here} (absent)", f"1 in {own}", f"2 in {shipped}"]


def test_a_model_is_described(folders):
    model(folders[2] / "one")
    [finding] = found("model one")
    assert finding.status == "ok"
    assert finding.value.startswith("mlm, bert, 0.0 MB")


def test_warns_where_no_model_ships(folders):
    assert [finding.status for finding in found("models")] == ["ok", "ok", "ok", "warning"]


def test_reads_shipped_models_whole(folders):
    change_weights(model(folders[2] / "one"))
    [finding] = found("model one")
    assert finding.error is ModelError
    assert "SHA-256" in finding.value


def test_reads_other_models_whole_only_if_asked(folders, monkeypatch):
    monkeypatch.setattr(doctor, "_tensorflow_runs", lambda: [])
    change_weights(model(folders[1] / "mine"))
    assert found("model mine")[0].status == "ok"
    assert "SHA-256" in found("model mine", full=True)[0].value


def test_a_checkpoint_of_another_program_is_no_error(folders):
    (folders[0] / "google").mkdir(parents=True)
    (folders[0] / "google/bert_config.json").write_text("{}", "utf-8")
    [finding] = found("model google")
    assert finding.status == "ok"
    assert "another program" in finding.value


def test_training_packages_may_all_be_absent(versions):
    versions(six="1.17.0", tensorflow=None, tf_keras=None, bert4keras=None)
    findings = {name: found(name)[0] for name in BERT_STACK}
    assert {finding.status for finding in findings.values()} == {"ok"}
    assert findings["tensorflow"].value == "not installed (optional)"
    assert findings["tensorflow"].hint == "pip install 'nlpkit[bert]'"
    assert findings["bert4keras"].hint == "pip install --no-deps bert4keras==0.11.5"


def test_half_of_the_training_packages_is_a_warning(versions):
    versions(
        **{name.replace("-", "_"): version for name, version in BERT_STACK.items()} | {"bert4keras": None}
    )
    assert found("tensorflow")[0].status == "ok"
    [finding] = found("bert4keras")
    assert finding.status == "warning"
    assert finding.hint == "pip install --no-deps bert4keras==0.11.5"


@pytest.mark.parametrize(
    ("name", "version", "needed"),
    [
        ("tensorflow", "2.15.1", "<2.22,>=2.20"),
        ("tf-keras", "2.20.1", "==2.21.*"),
        ("bert4keras", "0.11.4", "==0.11.5"),
        ("numpy", "1.25.0", ">=1.26"),
    ],
)
def test_a_version_that_does_not_fit_is_an_error(versions, name, version, needed):
    there = {**BERT_STACK, name: version}
    versions(**{name.replace("-", "_"): version for name, version in there.items()})
    [finding] = found(name)
    assert finding.error is MissingDependencyError
    assert finding.value == f"{version}, but {needed} is needed"


def test_a_package_that_is_always_needed_may_not_be_absent(versions):
    versions(safetensors=None)
    [finding] = found("safetensors")
    assert finding.error is MissingDependencyError
    assert "pip install" in finding.hint
    assert "safetensors" in finding.hint


def test_two_builds_of_onnxruntime_are_a_warning(versions):
    versions(onnxruntime="1.31.1", onnxruntime_gpu="1.31.1")
    assert [finding.status for finding in found("onnxruntime")] == ["ok", "warning"]


def test_the_gpu_build_of_onnxruntime_alone_is_enough(versions):
    versions(onnxruntime=None, onnxruntime_gpu="1.30.0")
    [finding] = found("onnxruntime")
    assert finding.status == "ok"
    assert finding.value.startswith("1.30.0, runs on ")


def test_a_kernel_that_does_not_load_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "nlpkit.lexicon._lexicon", None)
    assert found("ngram._kernel")[0].status == "ok"
    assert found("lexicon._lexicon")[0].error is MissingDependencyError


def test_a_kernel_of_other_sources_is_an_error(monkeypatch):
    monkeypatch.delattr("nlpkit.ngram._kernel.cut")
    [finding] = found("ngram._kernel")
    assert finding.error is MissingDependencyError
    assert finding.value.endswith("it has no cut")


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        (
            "echo 'NVIDIA H200, 143771 MiB'; echo 'NVIDIA L4, 23034 MiB'",
            "NVIDIA H200 143771 MiB, NVIDIA L4 23034 MiB",
        ),
        ("echo no driver; exit 9", "none"),
    ],
)
def test_gpus_are_those_the_driver_lists(tmp_path, monkeypatch, script, gpus):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert found("gpu")[0].value == gpus


def test_a_tensorflow_that_ends_the_process_is_survived(nlpkit, tmp_path):
    crash = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)"
    for name, version in BERT_STACK.items():
        package(tmp_path, name.replace("-", "_"), version, crash if name == "tensorflow" else "")
    done = nlpkit("doctor", "--full", "-f", "tsv", env=before(tmp_path))
    rows = {line.split("\t")[0]: line.split("\t") for line in done.stdout.splitlines()}
    assert rows["training"][1] == "error"
    assert rows["training"][2].endswith("ended by SIGILL")
    assert rows["cpu"][1] == "ok"
    assert done.returncode == 5


def test_a_check_that_fails_itself_is_a_finding(monkeypatch):
    def fails(full):
        yield doctor.Finding("first", "fine")
        raise KeyError("oops")

    monkeypatch.setattr(doctor, "_CHECKS", [("second", ModelError, fails)])
    first, second = doctor.examine()
    assert first.status == "ok"
    assert second.error is ModelError
    assert second.value == "KeyError: 'oops'"


def test_the_install_lines_are_those_that_commands_give():
    from nlpkit.bert.backend import INSTALL_HINT

    assert f"{doctor.INSTALL_BERT} && {doctor.INSTALL_BERT4KERAS}" == INSTALL_HINT
