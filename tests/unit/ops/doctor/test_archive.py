"""The support archive as a file: all in one folder, whole or not there, and nobody else's."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from appliance.errors import OperatorError
from appliance.ops.doctor.archive import write_archive

if TYPE_CHECKING:
    from pathlib import Path

BEGAN = 1_772_600_000.5
TEXTS = {
    "doctor.json": "{}",
    "files//etc/os-release": "Debian\n",
    "files/../../../root/appliance.yml": "a: 1\n",
    "/commands/disks.txt": "all \udce9 full\n",
}


@pytest.mark.parametrize("name", ["support.tar.gz", ".x.tar.gz", "..tar", "x"])
@pytest.mark.parametrize("host", ["origin.example.net", "..", "/etc", ""])
def test_all_lies_below_one_folder_of_host_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, host: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    file = tmp_path / name
    assert write_archive(file, TEXTS, BEGAN) == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    top = {"origin.example.net": "origin.example.net", "/etc": "etc"}.get(host, "host") + "-20260304T045320Z"
    with tarfile.open(file) as found:
        assert found.getnames() == [
            f"{top}/doctor.json",
            f"{top}/files/etc/os-release",
            f"{top}/files/root/appliance.yml",
            f"{top}/commands/disks.txt",
        ]
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_one_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    written = 0

    def fail(*_: object) -> None:
        nonlocal written
        written += 1
        if written > 2:
            raise fault

    monkeypatch.setattr(tarfile.TarFile, "addfile", fail)
    with pytest.raises(OperatorError if isinstance(fault, OSError) else KeyboardInterrupt) as refused:
        write_archive(tmp_path / "support.tar.gz", TEXTS, BEGAN)
    assert list(tmp_path.iterdir()) == []
    if isinstance(refused.value, OperatorError):
        assert refused.value.message == f"{tmp_path}/support.tar.gz: No space left on device"


def test_what_is_there_stays(tmp_path: Path) -> None:
    file, link = tmp_path / "mine", tmp_path / "link"
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    for taken in (file, link):
        with pytest.raises(OperatorError, match="File exists"):
            write_archive(taken, TEXTS, BEGAN)
    with pytest.raises(OperatorError, match="No such file or directory"):
        write_archive(tmp_path / "no" / "folder", TEXTS, BEGAN)
    assert file.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == [link, file]
