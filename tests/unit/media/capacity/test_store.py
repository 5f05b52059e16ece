"""The capacity file: whole or refused, and used for the machine that it was measured on."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from appliance.media.capacity.machine import Machine, cpu_name, ffmpeg_version, ladder_mark
from appliance.media.capacity.store import (
    Capacity,
    CapacityFile,
    keep,
    parse_capacity,
    read_capacity,
    require_keepable,
    write_capacity,
)
from appliance.media.encode.ladder import ladder_path, load_ladder, parse_ladder
from tests.unit.media.capacity.measured import MADE, capacity, gpu


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file, known = tmp_path / "lib" / "capacity.json", capacity(gpu(), gpu(1, pixels=0.0, reason="no NVENC"))
    write_capacity(file, known)
    assert read_capacity(file) == known
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in file.parent.iterdir()] == ["capacity.json"]
    assert [each.index for each in known.of_gpus] == [0]


def test_one_probe_leaves_the_others_figures(tmp_path: Path) -> None:
    file = tmp_path / "capacity.json"
    file.write_text("{broken")
    cpu, gpus = capacity().cpu, capacity(gpu(), cpu=None).gpus
    assert keep(file, cpu=cpu) == capacity()
    assert keep(file, gpus=gpus) == capacity(gpu())
    assert read_capacity(file) == capacity(gpu())


@pytest.mark.parametrize("kind", ["link", "dangling", "fifo", "socket", "directory"])
def test_nothing_but_a_regular_file_is_replaced(tmp_path: Path, kind: str) -> None:
    file, real = tmp_path / "capacity.json", tmp_path / "real.json"
    write_capacity(real, capacity())
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "socket":
        os.mknod(file, stat.S_IFSOCK | 0o600)  # as a device is no file either, and anybody may make it
    elif kind == "directory":
        file.mkdir()
    else:
        file.symlink_to(real if kind == "link" else "nowhere")
    before = file.lstat()
    for refuse in (require_keepable, lambda each: keep(each, gpus=capacity(gpu()).gpus)):
        with pytest.raises(OSError, match="allowed is a regular file, or none"):
            refuse(file)
    with pytest.raises(ValueError, match="allowed is a regular file"):
        read_capacity(file)
    assert (file.lstat().st_ino, file.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["capacity.json", "real.json"]
    assert read_capacity(real) == capacity()


def test_a_draft_goes_through_no_link_and_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = tmp_path / "capacity.json", tmp_path / "other"
    other.write_text("precious")
    (tmp_path / ".capacity.json.new").symlink_to(other)
    keep(file, cpu=capacity().cpu)
    assert other.read_text() == "precious"
    before = sorted(tmp_path.iterdir())

    def fails(_draft: Path, _mode: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "chmod", fails)
    with pytest.raises(OSError, match="No space"):
        keep(file, gpus=capacity(gpu()).gpus)
    assert sorted(tmp_path.iterdir()) == before
    assert read_capacity(file) == capacity()


def test_a_probe_waits_for_the_one_that_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both read before either has written: one's figures would be lost."""
    file, reads, begun = tmp_path / "capacity.json", threading.Event(), threading.Event()

    def read(path: Path) -> Capacity:
        known = Capacity() if not path.exists() else read_capacity(path)
        begun.set()
        reads.wait(0.3)
        return known

    monkeypatch.setattr("appliance.media.capacity.store.read_capacity", read)
    first = threading.Thread(target=keep, args=(file,), kwargs={"cpu": capacity().cpu})
    first.start()
    assert begun.wait(5)
    keep(file, gpus=capacity(gpu()).gpus)
    first.join()
    assert read_capacity(file) == capacity(gpu())


def test_what_cannot_be_read_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "capacity.json"
    write_capacity(file, capacity())

    def forbidden(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("appliance.media.capacity.store.read_plain", lambda *_, **__: None)
        with pytest.raises(ValueError, match="larger than 1048576 bytes"):
            read_capacity(file)
        patched.setattr("appliance.media.capacity.store._alone", lambda _: threading.Lock())
        patched.setattr(os, "open", forbidden)
        with pytest.raises(PermissionError):
            keep(file, gpus=capacity(gpu()).gpus)
        seen = CapacityFile(file)
        assert (seen.now(), seen.trouble) == (None, f"{file}: Permission denied")
    assert read_capacity(file) == capacity()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "a directory"),
        (".", "a directory"),
        ("/", "a directory"),
        ("none/..", "a directory"),
        ("n" * 300, "too long"),
        ("none/" + "n" * 300, "too long"),
        ("plain/x", "Not a directory"),
        ("plain/none/x", "Not a directory"),
        ("dangling/x", "No such file"),
    ],
)
def test_where_nothing_can_be_kept_is_known_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text("x")
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match=says):
        require_keepable(Path(name))
    assert sorted(tmp_path.iterdir()) == before


def test_where_it_can_be_kept_nothing_is_left_by_looking(tmp_path: Path) -> None:
    require_keepable(tmp_path / "lib" / "more" / "capacity.json")
    require_keepable(tmp_path / ("n" * 250))
    assert not list(tmp_path.iterdir())
    keep(tmp_path / ("n" * 250), cpu=capacity().cpu)


def described(**changes: Any) -> dict[str, Any]:
    text = json.dumps(capacity(gpu()), default=lambda each: {n: getattr(each, n) for n in each.__slots__})
    return {**json.loads(text), **changes}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version"),
        ({"more": 1}, "more"),
        ({"cpu": {}}, "cpu.made"),
        ({"cpu": {**described()["cpu"], "figures": {**described()["cpu"]["figures"], "cores": 0}}}, "cores"),
        (
            {"cpu": {**described()["cpu"], "figures": {**described()["cpu"]["figures"], "rungs": {"a": -1}}}},
            "a",
        ),
        ({"gpus": [1]}, "gpus"),
        (
            {"gpus": {**described()["gpus"], "gpus": 2 * described()["gpus"]["gpus"]}},
            "more than once: 'GPU-0'",
        ),
    ],
)
def test_anything_else_is_refused_by_its_place(change: dict[str, Any], says: str) -> None:
    assert parse_capacity(json.dumps(described())) == capacity(gpu())
    with pytest.raises(ValueError, match=f"no measurement of version 1: .*{says}"):
        parse_capacity(json.dumps(described(**change)))


@pytest.mark.parametrize("text", ["", "null", "[]", '{"cpu": NaN}', "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no measurement of version 1"):
        parse_capacity(text)


def test_a_service_sees_the_file_of_now(tmp_path: Path) -> None:
    path = tmp_path / "capacity.json"
    file = CapacityFile(path)
    assert (file.now(), file.trouble) == (None, None)
    write_capacity(path, capacity())
    assert (file.now(), file.trouble) == (capacity(), None)
    path.write_text("{}x")
    assert file.now() is None
    assert "capacity.json: no measurement" in str(file.trouble)
    write_capacity(path, capacity(machine=Machine("another", 64)))
    assert file.now() is None
    assert "measured on another machine (another, 64 cores" in str(file.trouble)
    path.unlink()
    assert (file.now(), file.trouble) == (None, None)
    path.symlink_to(tmp_path)
    assert file.now() is None
    assert file.trouble is not None


def test_only_a_file_that_is_not_there_is_silent(tmp_path: Path) -> None:
    for number, target in enumerate(("nowhere", "1", str(tmp_path))):
        path = tmp_path / str(number)
        path.symlink_to(target)
        file = CapacityFile(path)
        assert file.now() is None
        assert file.trouble == f"{path}: it is a symbolic link; allowed is a regular file, or none"
    (tmp_path / "plain").write_text("x")
    file = CapacityFile(tmp_path / "plain" / "capacity.json")
    assert (file.now(), file.trouble) == (None, f"{tmp_path}/plain/capacity.json: Not a directory")
    file = CapacityFile(tmp_path / "1" / "capacity.json")
    assert (file.now(), str(file.trouble)) == (None, f"{tmp_path}/1/capacity.json: {os.strerror(40)}")


def test_a_file_that_may_be_read_again_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "capacity.json"
    write_capacity(path, capacity())
    file = CapacityFile(path)
    with monkeypatch.context() as patched:
        patched.setattr("appliance.media.capacity.store.read_plain", lambda *_, **__: None)
        assert file.now() is None
        assert file.trouble is not None
    path.chmod(0o640)
    assert file.now() == capacity()


def test_the_machine_is_known_by_its_kind_and_its_cores(tmp_path: Path) -> None:
    alias = tmp_path / "modalias"
    alias.write_text("cpu:type:x86,ven0002fam0019mod0011:feature:,0000,0001\n")
    assert Machine.here(alias).kind == "cpu:type:x86,ven0002fam0019mod0011"
    assert Machine.here(tmp_path / "none") == Machine("", os.cpu_count() or 1)
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: AMD  EPYC 9354\nmodel name\t: other\n")
    assert cpu_name(info) == "AMD EPYC 9354"
    assert cpu_name(tmp_path / "none") == "unknown CPU"


async def test_ffmpeg_says_its_version(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho 'ffmpeg version 7.1.1-1+b1 Copyright (c) 2000-2025'\n")
    program.chmod(0o755)
    assert await ffmpeg_version(str(program)) == "7.1.1-1+b1"
    assert await ffmpeg_version(str(tmp_path / "none")) == ""


def test_a_ladder_has_another_mark_when_an_option_has_changed() -> None:
    ladder = load_ladder(ladder_path("default"))
    assert ladder_mark(ladder) == ladder_mark(load_ladder(ladder_path("default"))) != MADE.ladder_mark
    row = {"name": "a", "width": 640, "height": 360, "fps": 30, "video_kbps": 400, "audio_kbps": 64}
    marks = {
        ladder_mark(parse_ladder({"rungs": [{**row, "encoders": encoders}]}, Path("x.yml")))
        for encoders in ({}, {"x264": {"preset": "fast"}}, {"nvenc": {"options": {"rc": "cbr"}}})
    }
    assert len(marks) == 3
