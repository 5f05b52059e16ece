"""The capacity file: whole or refused, and used for the machine that it was measured on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from appliance.media.capacity.machine import Machine, cpu_name, ffmpeg_version, ladder_mark
from appliance.media.capacity.store import CapacityFile, keep, parse_capacity, read_capacity, write_capacity
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
