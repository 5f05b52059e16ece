"""Files are whole or not there."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import pytest

from appliance.media.alerts import Alert
from appliance.media.storage import SLOW_WRITE_S, Storage, StorageError, is_temporary

if TYPE_CHECKING:
    from pathlib import Path


def test_write_read_delete(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "demo")
    storage.write("e/720p/0.m4s", b"one")
    storage.write("e/720p/0.m4s", b"two")
    assert storage.read("e/720p/0.m4s") == b"two"
    assert storage.size("e/720p/0.m4s") == 3
    assert list(storage.files()) == ["e/720p/0.m4s"]
    assert storage.directories() == ["e"]
    storage.delete("e/720p/0.m4s")
    storage.delete("e/720p/0.m4s")
    assert storage.read("e/720p/0.m4s") is None
    storage.delete("")
    assert not (tmp_path / "demo").exists()


def test_what_is_in_a_folder_goes_where_the_folder_itself_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the sandbox a stream's folder is a mount point below one that is read-only."""
    storage, real = Storage(tmp_path / "demo"), os.unlink
    storage.write("e/720p/0.m4s", b"one")

    def unlink(path: str, **how: int) -> None:
        if os.path.isdir(path):  # noqa: PTH112
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(path, **how)

    monkeypatch.setattr(os, "unlink", unlink)
    storage.delete("")
    assert not (tmp_path / "demo" / "e").exists()


def test_two_processes_that_write_the_same_file_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of the streams do in the runtime directory that they share, when a GPU fails them all."""
    replace = os.replace

    def meanwhile(temporary: str, path: str) -> None:
        monkeypatch.setattr(os, "replace", replace)
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", lambda: 1)
            Storage(tmp_path).write("gpu.json", b"the other's")
        replace(temporary, path)

    monkeypatch.setattr(os, "replace", meanwhile)
    storage = Storage(tmp_path)
    storage.write("gpu.json", b"this one's")
    assert storage.read("gpu.json") == b"this one's"
    assert list(storage.files()) == ["gpu.json"]


def test_modes_let_the_group_read(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Storage(tmp_path).write("state.json", b"{}")
    finally:
        os.umask(before)
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o640


def test_empty_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never published"):
        Storage(tmp_path).write("0.m4s", b"")


def test_no_room_leaves_nothing(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    with pytest.raises(StorageError, match="are free") as caught:
        storage.write("0.m4s", b"x", reserve=1 << 60)
    assert caught.value.full
    assert list(storage.files()) == []


def test_other_failures_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "e").write_text("a file where a directory belongs")
    with pytest.raises(StorageError) as caught:
        Storage(tmp_path).write("e/0.m4s", b"x")
    assert not caught.value.full


def test_a_write_that_takes_nothing_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda _descriptor, _data: 0)
        with pytest.raises(StorageError, match="0 of 1 bytes were written") as caught:
            storage.write("0.m4s", b"x")
    assert caught.value.full
    assert list(storage.files()) == []


def test_slow_writes_are_an_alert_that_tells_how_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes that take their time as on a slow disk; a real one is in the integration tests."""
    storage, write = Storage(tmp_path), os.write

    def slow(descriptor: int, data: bytes) -> int:
        time.sleep(SLOW_WRITE_S)
        return write(descriptor, data)

    storage.write("0.m4s", b"x")
    monkeypatch.setattr(os, "write", slow)
    for number in range(3):
        assert storage.alerts.active() == frozenset()
        storage.write(f"{number}.m4s", b"12345")
    assert storage.alerts.active() == {Alert.SLOW_WRITES}
    [shown] = storage.alerts.describe()
    assert float(shown["value"].split()[0]) >= SLOW_WRITE_S
    assert shown["value"].endswith("s for 5 bytes (2.m4s)")


def test_temporary_names() -> None:
    assert is_temporary("e/720p/.tmp-0.m4s")
    assert not is_temporary("e/.tmp-x/0.m4s")


def test_what_is_no_plain_file_is_not_read_and_holds_nobody_up(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 3 << 30)
    assert [storage.read(name) for name in ("fifo", "link", "sparse")] == [None] * 3


def test_a_fifo_under_the_temporary_name_fails_one_write(tmp_path: Path) -> None:
    """In the streams' runtime directory another process could put one there."""
    storage = Storage(tmp_path)
    os.mkfifo(tmp_path / f".tmp-{os.getpid()}-a.json")
    with pytest.raises(StorageError):
        storage.write("a.json", b"one")
    storage.write("a.json", b"one")
    assert storage.read("a.json") == b"one"
