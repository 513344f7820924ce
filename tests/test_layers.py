"""No module imports upward, and each outside thing is known in one room only."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nlpkit"
PIPELINES = {"discover", "mlm", "masking", "extract", "classify", "chat", "compress"}
MODELS = {"models", "model_files", "model_hub", "model_manifest", "installed"}
LAYERS = [
    {"__main__", "cli"},
    PIPELINES | {"doctor"},
    {"lexicon", "bert"},
    MODELS | {"ngram", "text", "sources", "memory", "records"},
    {"errors"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
CLI_ONLY = {"typer", "rich", "tqdm"}
BACKEND_ONLY = {"tensorflow", "keras", "tf_keras", "bert4keras"}
FILES = sorted(PACKAGE.rglob("*.py"))


def imports(nodes):
    """Yield the dotted name of everything that some statements import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(names):
    """Return the rooms of nlpkit among dotted names."""
    parts = (name.split(".") for name in names)
    return {p[1] for p in parts if p[0] == "nlpkit" and not p[1].startswith("__")}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_module_knows_only_what_its_layer_may(file):
    room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    tree = ast.parse(file.read_text("utf-8"))
    names = list(imports(ast.walk(tree)))
    outside = {name.split(".")[0] for name in names}
    if room == "__init__":  # it loads its public names lazily
        assert rooms(imports(tree.body)) == set()
        return
    for other in rooms(names) - {room}:
        assert LEVEL[other] >= LEVEL[room], f"{room} imports upward: {other}"
        assert not {room, other} <= PIPELINES, f"one pipeline imports another: {other}"
    if room == "cli":
        eager = rooms(imports(tree.body)) - {"cli", "errors", "records"}
        assert not eager, f"import inside the command's body: {eager}"
    else:
        calls = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        assert not outside & CLI_ONLY
        assert room == "__main__" or not calls & {"print", "sys.exit", "exit"}
    if file.relative_to(PACKAGE) != Path("bert/backend.py"):
        assert not outside & BACKEND_ONLY
