"""What the program asks for: from a checkout's pyproject.toml, else from the metadata of the wheel."""

from importlib import metadata

import pytest

from nlpkit import installed

WHEEL = """\
Metadata-Version: 2.4
Name: nlpkit
Version: 0.1.0
Requires-Dist: numpy>=1.26
Requires-Dist: colour>=1; sys_platform == "nowhere"
Provides-Extra: bert
Requires-Dist: tensorflow<2.22,>=2.20; extra == "bert"
Provides-Extra: hub
Requires-Dist: huggingface_hub; extra == "hub"
"""


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """An installed wheel: nlpkit in a folder without pyproject.toml, its metadata beside it."""
    folder = tmp_path / "nlpkit-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(WHEEL, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(installed, "__file__", str(tmp_path / "nlpkit/installed.py"))
    return tmp_path


def test_a_checkout_asks_for_what_its_pyproject_says():
    assert "numpy" in [requirement.name for requirement in installed.required()]
    assert {requirement.name for requirement in installed.required("bert")} == {
        "six",
        "tensorflow",
        "tf-keras",
    }


def test_a_wheel_asks_for_what_its_metadata_says(wheel):
    assert [str(requirement) for requirement in installed.required()] == ["numpy>=1.26"]


def test_an_extra_asks_for_its_own_packages_only(wheel):
    assert [requirement.name for requirement in installed.required("bert")] == ["tensorflow"]
    assert [requirement.name for requirement in installed.required("hub")] == ["huggingface_hub"]


def test_another_packages_pyproject_is_not_ours(wheel):
    (wheel / "pyproject.toml").write_text('[project]\nname = "other"\ndependencies = ["tea"]\n', "utf-8")
    assert [requirement.name for requirement in installed.required()] == ["numpy"]


def test_a_program_that_was_only_copied_has_no_metadata(wheel, monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(metadata.PackageNotFoundError):
        installed.required()


def test_both_builds_of_a_package_are_found(monkeypatch):
    there = {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.30.0"}
    monkeypatch.setattr(metadata, "version", there.__getitem__)
    assert installed.versions("onnxruntime") == there


def test_an_absent_package_has_no_version():
    assert installed.versions("no-such-package") == {}
