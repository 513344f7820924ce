"""The two C extensions. Everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup


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


setup(
    ext_modules=[extension("ngram", "_kernel"), extension("lexicon", "_lexicon")],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
