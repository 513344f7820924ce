"""hf: names, with the real huggingface_hub against a small stand-in of the Hub on this machine."""

import hashlib
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

import pytest

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NLPKIT = {
    "format": 1,
    "name": "ours",
    "task": "mlm",
    "architecture": "bert",
    "config": {},
    "tokenizer": {"lower_case": True},
    "training": {},
    "metrics": {},
    "nlpkit_version": "0.1.0",
    "files": {
        name: {"bytes": 1, "sha256": "0" * 64} for name in ("vocab.txt", "model.safetensors", "model.onnx")
    },
}
WEIGHTS = {"model.safetensors": "s", "pytorch_model.bin": "p", "tf_model.h5": "h", "onnx/model.onnx": "o"}
REPOSITORIES = {
    "org/both": {"config.json": "{}", "vocab.txt": "天\n", **WEIGHTS},
    "org/torch": {
        "config.json": "{}",
        "vocab.txt": "天\n",
        "pytorch_model.bin": "p",
        "flax_model.msgpack": "f",
    },
    "org/tf": {"bert_config.json": "{}", "vocab.txt": "天\n", "bert_model.ckpt.index": "i"},
    "org/ours": {"nlpkit.json": json.dumps(NLPKIT), "vocab.txt": "v", "model.onnx": "g", **WEIGHTS},
}


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {path}")
        parts = path.removeprefix("/api/models").strip("/").split("/")
        name, files = "/".join(parts[:2]), REPOSITORIES.get("/".join(parts[:2]))
        if self.server.broken:
            self.answer(500, b"out of order")
        elif files is None:
            error = "GatedRepo" if name == "org/gated" else "RepoNotFound"
            self.answer(403 if name == "org/gated" else 404, b"{}", {"X-Error-Code": error})
        elif parts[2] == "resolve":
            self.answer(200, files["/".join(parts[4:])].encode())
        elif parts[3] not in ("main", COMMIT):
            self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif parts[2] == "revision":
            listed = [{"rfilename": file} for file in files]  # older versions ask for no tree
            self.answer(200, json.dumps({"id": name, "sha": COMMIT, "siblings": listed}).encode())
        else:
            tree = [
                {"type": "file", "path": file, "size": len(text.encode()), "oid": etag(text.encode())}
                for file, text in files.items()
            ]
            self.answer(200, json.dumps(tree).encode())

    do_HEAD = do_GET

    def answer(self, status, data, headers=None):
        self.send_response(status)
        sent = {"Content-Length": len(data), "ETag": f'"{etag(data)}"', "X-Repo-Commit": COMMIT}
        for key, value in {**sent, **(headers or {})}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *args):
        pass


def etag(data):
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.broken = [], False
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


DRIVER = """
import os, sys
from nlpkit.errors import NlpkitError
from nlpkit.models import find_model
for line in sys.argv[1:]:
    spec, _, offline = line.partition(" ")
    try:
        print(*sorted(os.listdir(find_model(spec, offline=bool(offline)))))
    except NlpkitError as error:
        print(error.exit_code, error, "|", error.hint)
"""


@pytest.fixture
def environment(hub, tmp_path):
    return {
        "HF_HOME": str(tmp_path / "cache"),
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HUB_DISABLE_XET": "1",
        "no_proxy": "*",
    }


@pytest.fixture
def ask(environment):
    """Find models in one process, "SPEC" or "SPEC offline": the files of each, or its error with the code."""

    def run(*questions, **more):
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, *questions],
            env=os.environ | environment | more,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    return run


FETCHED = {
    "hf:org/both": "config.json model.safetensors vocab.txt",
    "hf:org/torch": "config.json pytorch_model.bin vocab.txt",
    "hf:org/tf": "bert_config.json bert_model.ckpt.index vocab.txt",
    "hf:org/ours": "model.onnx model.safetensors nlpkit.json vocab.txt",
}


def test_one_form_of_the_weights_is_fetched_and_stays(ask, hub):
    assert ask(*FETCHED) == list(FETCHED.values())
    assert not any("h5" in asked or "onnx/" in asked for asked in hub.asked)
    hub.asked.clear()
    assert ask(*(f"{spec} offline" for spec in FETCHED)) == list(FETCHED.values())
    assert ask(*FETCHED, HF_HUB_OFFLINE="1") == list(FETCHED.values())
    assert hub.asked == []
    hub.broken = True
    assert ask("hf:org/torch") == [FETCHED["hf:org/torch"]]


def test_a_revision_stands_behind_an_at(ask):
    found, missing = ask(f"hf:org/both@{COMMIT}", "hf:org/both@v9")
    assert found == FETCHED["hf:org/both"]
    assert missing.startswith("4 hf:org/both@v9: no such revision |")


PROBLEMS = {
    "hf:org/nothing": "4 hf:org/nothing: no such repository, or it is private | check the spelling",
    "hf:org/gated": "4 hf:org/gated: the repository is gated | ask for access",
    "hf:org/both offline": "4 hf:org/both: not in the cache | without --offline",
    "hf:": "4 hf:: this names no repository | write hf:ORG/NAME",
    "hf:a/b/c": "4 hf:a/b/c: this names no repository |",
    "hf:../..": "4 hf:../..: this names no repository |",
}


def test_what_cannot_be_fetched_is_a_model_error(ask):
    for answer, said in zip(ask(*PROBLEMS), PROBLEMS.values(), strict=True):
        assert answer.startswith(said)


def test_a_hub_that_does_not_answer_is_a_model_error(ask, hub):
    [answer] = ask("hf:org/both", HF_ENDPOINT="http://127.0.0.1:9")
    assert answer.startswith(
        "4 hf:org/both: not in the cache, and the Hub does not answer | check the network"
    )
    hub.broken = True
    [answer] = ask("hf:org/both")
    assert answer.startswith("4 hf:org/both: ")


def test_a_cache_that_cannot_be_written_is_an_output_error(ask, tmp_path):
    (tmp_path / "file").touch()
    [answer] = ask("hf:org/both", HF_HOME=str(tmp_path / "file/cache"))
    assert answer.startswith("6 ")


def test_the_hub_library_is_named_where_it_is_missing(ask, tmp_path):
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    [answer] = ask("hf:org/both", PYTHONPATH=path)
    assert answer.startswith("5 ")
    assert answer.endswith("| pip install huggingface_hub")


def test_the_command_line_shows_no_progress_in_a_pipe(nlpkit, environment):
    done = nlpkit("models", "path", "hf:org/torch", env=environment)
    assert done.stderr == ""
    assert sorted(os.listdir(done.stdout.strip())) == FETCHED["hf:org/torch"].split()
