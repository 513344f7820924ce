import subprocess
import sys
from pathlib import Path

import pytest

from nlpkit import memory
from nlpkit.memory import memory_available, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("0", 0),
        ("200M", 200 << 20),
        ("1G", 1 << 30),
        ("1.5GiB", 3 << 29),
        (" 2 mb ", 2 << 20),
        ("3k", 3072),
        ("1T", 1 << 40),
        ("12B", 12),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_reads_a_size(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1.G", "1e6", "1X", "1 2", "１G", "5iB", "infM"])
def test_refuses_what_is_no_size(text):
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of files: put(path, text) under proc/ or cgroup/."""
    monkeypatch.setattr(memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("proc/meminfo", "MemTotal: 900 kB\nMemFree: 1 kB\nMemAvailable: 800 kB\n")
    return write


def test_memory_is_what_the_system_has(machine):
    assert memory_available() == 800 * 1024


def test_memory_is_what_the_tightest_control_group_leaves(machine):
    machine("proc/self/cgroup", "0::/outer/own\n")
    machine("cgroup/outer/own/memory.max", "max\n")
    machine("cgroup/outer/own/memory.current", "5\n")
    machine("cgroup/outer/memory.max", "9000\n")
    machine("cgroup/outer/memory.current", "5000\n")
    machine("cgroup/outer/memory.stat", "anon 3\ninactive_file 1000\n")
    assert memory_available() == 9000 - (5000 - 1000)


def test_memory_is_what_an_old_control_group_leaves(machine):
    machine("proc/self/cgroup", "5:cpu:/x\n4:cpu,memory:/not/visible/here\n0::/\n")
    machine("cgroup/memory/memory.limit_in_bytes", "7000\n")
    machine("cgroup/memory/memory.usage_in_bytes", "6000\n")
    machine("cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n")
    assert memory_available() == 7000 - (6000 - 500)


def test_memory_is_never_negative(machine):
    machine("proc/self/cgroup", "0::/\n")
    machine("cgroup/memory.max", "10\n")
    machine("cgroup/memory.current", "20\n")
    assert memory_available() == 0


def test_memory_is_within_the_address_space_limit():
    code = """
import resource
from nlpkit.memory import memory_available
resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
print(memory_available())
"""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root, check=True)
    assert 0 < int(done.stdout) < 400 << 20


def test_memory_is_guessed_where_the_system_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    assert memory_available() > 0
