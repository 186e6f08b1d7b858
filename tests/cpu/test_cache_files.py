"""The cache of compiled kernels: what is put comes back, and nothing that can happen to a file breaks it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time

import pytest

from pycuda_guard.cpu.cache import fingerprint
from pycuda_guard.diskcache import Cache, directory

DATA = {"plans": [{"name": "k", "parameters": [[0, 8]]}], "text": "ä"}
IMAGE = bytes(range(256)) * 40


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "deep" / "kernels")


def files(cache: Cache) -> list[str]:
    return sorted(os.listdir(cache.folder))


def test_what_is_put_comes_back(cache):
    assert cache.get("a") is None
    assert cache.put("a", DATA, IMAGE)
    assert cache.get("a") == (DATA, IMAGE)
    assert Cache(cache.folder).get("a") == (DATA, IMAGE)
    assert files(cache) == ["a.kernels"]


def test_the_key_depends_on_every_part(cache):
    parts = [("a", "b"), ("ab", ""), ("", "ab"), ("b", "a"), ("a", "b", ""), ("a",)]
    assert len({cache.key(*each) for each in parts}) == len(parts)
    assert cache.key("a", b"b") == cache.key(b"a", "b")


@pytest.mark.parametrize("cut", [0, 1, 20, 40, 60, 70, 200, -1])
def test_a_truncated_entry_is_none_and_can_be_put_again(cache, cut):
    cache.put("a", DATA, IMAGE)
    path = cache.folder / "a.kernels"
    path.write_bytes(path.read_bytes()[:cut])
    assert cache.get("a") is None
    assert files(cache) == []
    assert cache.put("a", DATA, IMAGE)
    assert cache.get("a") == (DATA, IMAGE)


@pytest.mark.parametrize("place", [0, 25, 55, 62, 70, -1])
def test_a_changed_byte_is_noticed(cache, place):
    cache.put("a", DATA, IMAGE)
    path = cache.folder / "a.kernels"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert cache.get("a") is None


def test_a_folder_that_cannot_be_made_means_no_cache(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "kernels")
    assert not cache.put("a", DATA, IMAGE)
    assert cache.get("a") is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_means_no_cache(tmp_path):
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert not Cache(folder).put("a", DATA, IMAGE)


def test_a_full_disk_means_no_cache_and_leaves_nothing(tmp_path):
    script = f"""
import resource, signal
from pathlib import Path
from pycuda_guard.diskcache import Cache
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
cache = Cache(Path({str(tmp_path)!r}))
print(cache.put("a", None, bytes(5000)), cache.get("a"), list(Path({str(tmp_path)!r}).iterdir()))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert result.stdout.strip() == "False None []"


def test_the_least_recently_used_entries_go_first(tmp_path):
    cache = Cache(tmp_path, limit=4 * len(IMAGE))
    for number, name in enumerate("abc"):
        cache.put(name, None, IMAGE)
        os.utime(tmp_path / f"{name}.kernels", (number, number))
    assert cache.get("a")  # is now the one used last
    Cache(tmp_path, limit=3 * len(IMAGE)).put("d", None, IMAGE)
    assert files(cache) == ["a.kernels", "d.kernels"]


def test_what_a_killed_writer_left_behind_goes(tmp_path):
    old, new = tmp_path / "new-old", tmp_path / "new-new"
    for path in (old, new):
        path.write_bytes(b"half an entry")
    os.utime(old, (time.time() - 7200,) * 2)
    Cache(tmp_path).put("a", None, IMAGE)
    assert files(Cache(tmp_path)) == ["a.kernels", "new-new"]


def test_processes_can_write_and_read_the_same_entry(tmp_path):
    script = f"""
from pathlib import Path
from pycuda_guard.diskcache import Cache
cache = Cache(Path({str(tmp_path)!r}))
image = bytes(300_000)
for _ in range(60):
    assert cache.put("a", [1], image)
    assert cache.get("a") == ([1], image)
"""
    runs = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [each.wait(timeout=50) for each in runs] == [0, 0, 0]
    assert os.listdir(tmp_path) == ["a.kernels"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"PYCUDA_GUARD_CACHE_DIR": "/somewhere", "XDG_CACHE_HOME": "/x"}, "/somewhere"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/pycuda-guard/kernels"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/pycuda-guard/kernels"),
        ({"HOME": "/h"}, "/h/.cache/pycuda-guard/kernels"),
    ],
)
def test_the_folder(monkeypatch, variables, expected):
    for name in ("PYCUDA_GUARD_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(directory()) == expected


def test_the_fingerprint_is_stable():
    assert fingerprint() == fingerprint()
    assert len(fingerprint()) == 32
