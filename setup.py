"""The two C extensions, and where packages lie. Everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, find_packages, setup


def extension(package: str, module: str) -> Extension:
    """Build one abi3 module from every C file of one package."""
    folder = Path("nlpkit", package)
    return Extension(
        f"nlpkit.{package}.{module}",
        sources=sorted(str(path) for path in folder.glob("*.c")),
        depends=sorted(str(path) for end in ("h", "inc") for path in folder.glob(f"*.{end}")),
        extra_compile_args=["-O3", "-std=c11"],
        py_limited_api=True,
    )


# The repository's models/ is nlpkit/shipped in the wheel; a checkout reads it where it lies.
setup(
    packages=[*find_packages(include=["nlpkit*"]), "nlpkit.shipped"],
    package_dir={"nlpkit.shipped": "models"},
    ext_modules=[extension("ngram", "_kernel"), extension("lexicon", "_lexicon")],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
