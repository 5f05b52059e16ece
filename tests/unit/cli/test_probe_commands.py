"""`appliance cpu probe` and `gpu probe`: what they refuse, and what they keep."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer

from appliance.cli import cpu
from appliance.cli import gpu as gpu_commands
from appliance.cli.main import main
from appliance.cli.probing import Probing, to_the_end
from appliance.media.capacity.figures import CpuFigures, GpuFigures
from appliance.media.capacity.material import Clip
from appliance.media.capacity.store import read_capacity, write_capacity
from appliance.media.capacity.trial import TrialError
from appliance.media.encode.gpus import Gpu
from appliance.subprocesses import run_program
from tests.support.status_file import iso, put
from tests.unit.media.capacity.measured import CPU, capacity, gpu


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "appliance.yml"
    file.write_text(f"media_root: {tmp_path / 'hls'}\ncapacity_file: {tmp_path / 'lib/capacity.json'}\n")
    return file


def run(settings: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--settings", str(settings)])
    return int(left.value.code or 0)


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The probe without FFmpeg: what it was given."""
    given: dict[str, Any] = {}

    async def clip(probing: Probing, folder: Path, _tell: object) -> Clip:
        given["folder"] = folder
        return Clip(probing.source, (), ())

    async def probe(_reference: object, _clip: Clip, **options: Any) -> CpuFigures:
        given.update(options)
        if "fails" in given:
            raise TrialError(given["fails"])
        return CPU

    monkeypatch.setattr(Probing, "clip", clip)
    monkeypatch.setattr(cpu, "probe_cpu", probe)
    return given


def test_what_is_measured_is_kept_beside_the_gpus(
    settings: Path, tmp_path: Path, measuring: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lib/capacity.json"
    write_capacity(file, capacity(gpu(), cpu=None))
    assert run(settings, "cpu", "probe", "--source", "1280x720@30", "--minutes", "2", "--step", "3") == 0
    assert (measuring["name"], measuring["seconds"], measuring["step_seconds"]) == ("1280x720@30", 120, 3)
    known = read_capacity(file)
    assert known.cpu is not None
    assert known.cpu.figures == CPU
    assert known.cpu.made.ladder == "default"
    assert [each.index for each in known.of_gpus] == [0]
    printed = capsys.readouterr().out
    assert "4.00 of" in printed
    assert "3 of 1920x1080@30 side by side in real time" in printed
    assert "1280x720@30" in printed
    assert f"kept in {file}" in printed


def test_json_is_what_is_kept(
    settings: Path, tmp_path: Path, measuring: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(settings, "cpu", "probe", "--json") == 0
    assert measuring["name"] == "1920x1080@30"
    assert (
        json.loads(capsys.readouterr().out) == json.loads((tmp_path / "lib/capacity.json").read_text())["cpu"]
    )


def test_live_streams_are_left_alone(
    settings: Path, tmp_path: Path, measuring: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(7):
        fields = {"state": "live", "updated": iso(time.time())}
        put(tmp_path / "hls", fields, stream=f"s{number}")
    put(tmp_path / "hls", {"state": "live", "updated": iso(time.time() - 60)}, stream="gone")
    put(tmp_path / "hls", {"state": "waiting", "updated": iso(time.time())}, stream="waits")
    assert run(settings, "cpu", "probe") == 69
    said = capsys.readouterr().err
    assert "live: s0, s1, s2, s3, s4 and 2 more" in said
    assert "appliance cpu probe --force" in said
    assert not measuring
    assert run(settings, "cpu", "probe", "--force") == 0
    assert not measuring["folder"].exists()
    assert "not kept: 7 live took their share" in capsys.readouterr().out
    assert not (tmp_path / "lib/capacity.json").exists()
    own = tmp_path / "mine.json"
    assert run(settings, "cpu", "probe", "--force", f"--output={own}") == 0
    assert read_capacity(own).cpu is not None


def test_an_encoder_that_does_not_work_leaves_nothing_behind(
    settings: Path, tmp_path: Path, measuring: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    measuring["fails"] = "Unknown encoder 'libx264'"
    assert run(settings, "cpu", "probe") == 69
    assert "x264 does not encode here: Unknown encoder" in capsys.readouterr().err
    assert not (tmp_path / "lib").exists()


@pytest.mark.usefixtures("measuring")
@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--source", "big"], 64, "--source: 'big' is refused"),
        (["--source", "audio"], 64, "a source without pictures"),
        (["--ladder", "none"], 78, "cannot be read"),
    ],
)
def test_what_is_refused_at_once(
    settings: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    says: str,
) -> None:
    assert run(settings, "cpu", "probe", *arguments) == status
    assert says in capsys.readouterr().err


def test_who_may_not_keep_it_measures_nothing(
    settings: Path,
    measuring: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def forbidden(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", forbidden)
    assert run(settings, "cpu", "probe") == 77
    assert "sudo appliance cpu probe" in capsys.readouterr().err
    assert not measuring


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("", "it is a directory; allowed is a regular file"),
        ("/", "it is a directory"),
        ("pipe", "it is a named pipe"),
        ("link", "it is a symbolic link"),
        ("n" * 300, "File name too long"),
        ("appliance.yml/x", "Not a directory"),
    ],
)
def test_where_nothing_can_be_kept_nothing_is_measured(
    settings: Path, measuring: dict[str, Any], capsys: pytest.CaptureFixture[str], output: str, says: str
) -> None:
    os.mkfifo(settings.parent / "pipe")
    (settings.parent / "link").symlink_to("nowhere")
    output = output and str(settings.parent / output)
    assert run(settings, "cpu", "probe", "--output", output) == 71
    said = capsys.readouterr().err
    assert f"cannot be kept in {output or '.'}: " in said
    assert says in said
    assert not measuring


@pytest.mark.parametrize(("name", "says"), [("pipe.yml", "or a pipe"), ("/n" * 3000, "File name too long")])
def test_a_ladder_that_is_no_file_is_refused(
    settings: Path, measuring: dict[str, Any], capsys: pytest.CaptureFixture[str], name: str, says: str
) -> None:
    os.mkfifo(settings.parent / "pipe.yml")
    assert run(settings, "cpu", "probe", "--ladder", str(settings.parent / name)) == 78
    assert says in capsys.readouterr().err
    assert not measuring


def test_sigterm_ends_a_probe_with_all_that_it_has_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[psutil.Process] = []

    async def work() -> None:
        with tempfile.TemporaryDirectory():
            running = asyncio.create_task(run_program("sleep", "60", seconds=60))
            while not (children := psutil.Process().children()):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            seen.extend(children)
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                await running
            finally:
                os.kill(os.getpid(), signal.SIGTERM)  # as timeout(1) does
                await asyncio.sleep(0.05)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as left:
        to_the_end(work())
    assert left.value.exit_code == 143
    assert "ended by SIGTERM; nothing is kept" in capsys.readouterr().err
    assert [process for process in seen if process.is_running()] == []
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == before


def test_without_a_gpu_the_gpus_probe_says_so(
    settings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(settings, "gpu", "probe") == 69
    assert "no NVIDIA GPU can be asked: nvidia-smi: No such file" in capsys.readouterr().err


@pytest.fixture
def cards(measuring: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A host with three GPUs, of each of which is known how its probe ends."""
    listed = "".join(f"{n}, GPU-{n}, NVIDIA L4, 550.163.01, [N/A]\n" for n in range(3))
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{listed}'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    figures = [
        gpu(0, streams=9, source="1280x720@30", limit="memory"),
        gpu(1, streams=2, source="1280x720@30", limit="speed", sessions=8, decodes=False),
        gpu(2, pixels=0.0, reason="this GPU has no NVENC"),
    ]

    async def probe(card: Gpu, _reference: object, _clip: Clip, **options: Any) -> GpuFigures:
        measuring.update(options)
        return figures[card.index]

    monkeypatch.setattr(gpu_commands, "probe_gpu", probe)
    return measuring


def test_what_gpus_encode_is_kept_beside_the_cpu_and_printed(
    settings: Path, tmp_path: Path, cards: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "lib/capacity.json"
    write_capacity(file, capacity())
    assert run(settings, "gpu", "probe", "--source", "1280x720@30", "--minutes", "2", "--step", "3") == 0
    assert (cards["name"], cards["seconds"], cards["step_seconds"]) == ("1280x720@30", 120, 3)
    known = read_capacity(file)
    assert known.cpu == capacity().cpu
    assert known.gpus is not None
    assert (known.gpus.driver, known.gpus.made.ladder) == ("550.163.01", "default")
    assert [(each.id.uuid, each.limit) for each in known.of_gpus] == [("GPU-0", "memory"), ("GPU-1", "speed")]
    said = capsys.readouterr()
    assert "GPU 2, NVIDIA L4" in said.err
    printed = " ".join(said.out.replace("│", " ").split())
    assert "driver 550.163.01" in printed
    for text in ("9 of 1280x720@30", "no limit seen", "memory is used", "decode", "NVENC", f"kept in {file}"):
        assert text in printed


def test_json_is_what_is_kept_of_gpus(
    settings: Path, tmp_path: Path, cards: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(settings, "gpu", "probe", "--json") == 0
    assert cards["name"] == "1920x1080@30"
    kept = json.loads((tmp_path / "lib/capacity.json").read_text())
    assert json.loads(capsys.readouterr().out) == kept["gpus"]
    assert kept["cpu"] is None
