"""The choice of an encoder outlives the process, and nothing that it depends on."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import OperatorError
from appliance.media.encode.encoder_memory import SHARED, EncoderMemory
from appliance.media.encode.gpus import GpuId

_NO_GPU = Path("/nonexistent/nvidiactl")


@pytest.fixture
def ffmpeg(tmp_path: Path) -> Path:
    """An FFmpeg that encodes with x264 alone and notes each trial."""
    program = tmp_path / "ffmpeg"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/trials\ncase "$*" in *nvenc*) exit 1;; esac\n', encoding="utf-8"
    )
    program.chmod(0o755)
    return program


def _trials(ffmpeg: Path) -> int:
    trials = ffmpeg.with_name("trials")
    return len(trials.read_text(encoding="utf-8").splitlines()) if trials.exists() else 0


def _upgrade(ffmpeg: Path) -> None:
    ffmpeg.write_text(ffmpeg.read_text(encoding="utf-8") + "# upgraded\n", encoding="utf-8")


async def test_the_next_process_tries_nothing(ffmpeg: Path, tmp_path: Path) -> None:
    found = []
    for _ in range(3):
        memory = EncoderMemory("auto", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
        found.append(await memory.choose())
    assert _trials(ffmpeg) == 2
    assert found[0] == found[1] == found[2]
    assert found[0].family == "x264"
    assert "NVENC does not work here" in found[0].reason


async def test_another_ffmpeg_another_setting_and_a_failure_are_tried_anew(
    ffmpeg: Path, tmp_path: Path
) -> None:
    memory = EncoderMemory("auto", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
    await memory.choose()
    _upgrade(ffmpeg)
    await memory.choose()
    assert _trials(ffmpeg) == 4
    memory.forget(None)
    await memory.choose()
    assert _trials(ffmpeg) == 5, "x264 has not failed"
    other = EncoderMemory("x264", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
    assert (await other.choose()).reason == "the setting `encoder` says x264"
    assert _trials(ffmpeg) == 5, "how x264 did is known"
    only = EncoderMemory("nvenc", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
    with pytest.raises(OperatorError):
        await only.choose()
    assert _trials(ffmpeg) == 6, "what did not work for others is no reason to give up"


async def test_beside_a_gpu_x264_is_not_the_choice_for_long(
    ffmpeg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = tmp_path / "nvidiactl"
    gpu.touch()
    memory = EncoderMemory("auto", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=gpu)
    await memory.choose()
    await memory.choose()
    assert _trials(ffmpeg) == 2
    monkeypatch.setattr("time.time", lambda: 4e9)
    await memory.choose()
    assert _trials(ffmpeg) == 3


async def test_what_does_not_work_is_not_remembered(ffmpeg: Path, tmp_path: Path) -> None:
    memory = EncoderMemory("nvenc", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
    with pytest.raises(OperatorError):
        await memory.choose()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"made_for": 1}'])
async def test_a_broken_file_is_no_memory(ffmpeg: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run").mkdir()
    for name in ("encoder-x264.json", "gpus.json"):
        (tmp_path / "run" / name).write_bytes(content)
    memory = EncoderMemory("x264", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
    assert (await memory.choose()).family == "x264"


async def test_it_is_kept_in_the_folder_that_streams_share(
    ffmpeg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / SHARED
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/other:{shared}")
    await EncoderMemory.of_unit("x264", ffmpeg=str(ffmpeg)).choose()
    assert (shared / "encoder-x264.json").exists()
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    await EncoderMemory.of_unit("x264", ffmpeg=str(ffmpeg)).choose()
    assert _trials(ffmpeg) == 2


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with an H100 and an L4, of which FFmpeg encodes on the L4; returns the device."""
    for name, does in {
        "nvidia-smi": f"""echo asked >> {tmp_path}/asked
echo '0, GPU-aaaa, NVIDIA H100 80GB HBM3, 550.163.01, Disabled'
echo '1, GPU-bbbb, NVIDIA L4, 550.163.01, [N/A]'
""",
        "ffmpeg": f"""echo "$CUDA_VISIBLE_DEVICES $*" >> {tmp_path}/trials
case "$CUDA_VISIBLE_DEVICES $*" in
*libx264*|"GPU-bbbb "*"-gpu:v 0"*) exit 0;;
esac
echo 'OpenEncodeSessionEx failed: unsupported device (2): (no details)' >&2
exit 1
""",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    device = tmp_path / "nvidiactl"
    device.touch()
    return device


async def test_each_gpu_is_tried_and_the_one_that_encodes_is_named(two_gpus: Path, tmp_path: Path) -> None:
    """The first of them has no NVENC: what was tried is what a stream runs with."""
    for _ in range(2):
        memory = EncoderMemory("auto", directory=tmp_path / "run", device=two_gpus)
        choice = await memory.choose()
        assert (choice.family, choice.gpu) == ("nvenc", GpuId("GPU-bbbb", 1))
    assert _trials(two_gpus) == 2, "one of each, and the next process tries nothing"
    assert len((tmp_path / "asked").read_text().splitlines()) == 1
    memory.forget(choice.gpu)
    await memory.choose()
    assert _trials(two_gpus) == 3
    x264 = await memory.choose([GpuId("GPU-aaaa", 0)])
    assert x264.reason.startswith("NVENC does not work here: this GPU has no NVENC")
    (tmp_path / "ffmpeg").write_text(
        '#!/bin/sh\ncase "$*" in *x264*) ;; *) echo nothing >&2; exit 1;; esac\n'
    )
    x264 = await memory.choose()
    assert x264.reason == "NVENC does not work here: GPU 0: nothing; GPU 1: nothing"


async def test_where_nobody_names_the_gpus_cudas_first_is_tried(two_gpus: Path, tmp_path: Path) -> None:
    (tmp_path / "nvidia-smi").unlink()
    choice = await EncoderMemory("auto", directory=tmp_path / "run", device=two_gpus).choose()
    assert (choice.family, choice.gpu) == ("x264", None)
    assert (tmp_path / "trials").read_text().startswith(" -hide_banner")


@pytest.mark.parametrize(
    "kept",
    [
        {"failure": 5, "expires": None},
        {"failure": ["x"], "expires": None},
        {"failure": "x", "expires": "zz"},
        {"failure": "x", "expires": [1]},
        {"failure": "x", "expires": 10**400},
        {"failure": "x", "expires": 1e308},
        {"failure": "x", "expires": float("nan")},
        {"failure": "x", "expires": time.time() + 3600},
        {"failure": None},
        {"expires": None},
        {},
    ],
)
async def test_what_nobody_of_us_has_written_is_tried_anew(
    ffmpeg: Path, tmp_path: Path, kept: dict[str, Any]
) -> None:
    memory = EncoderMemory("auto", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
    await memory.choose()
    for name in ("encoder-nvenc.json", "encoder-x264.json"):
        file = tmp_path / "run" / name
        made_for = json.loads(file.read_text(encoding="utf-8"))["made_for"]
        file.write_text(json.dumps({"made_for": made_for, **kept}), encoding="utf-8")
    assert (await memory.choose()).family == "x264"
    assert _trials(ffmpeg) == 4
    await memory.choose()
    assert _trials(ffmpeg) == 4


@pytest.mark.parametrize("kind", ["fifo", "sparse", "link", "folder"])
async def test_what_is_no_small_file_neither_blocks_nor_is_read(
    two_gpus: Path, tmp_path: Path, kind: str
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("gpus.json", "encoder-GPU-bbbb.json", "encoder-x264.json"):
        match kind:
            case "fifo":
                os.mkfifo(run / name)
            case "sparse":
                (run / name).touch()
                os.truncate(run / name, 3 << 30)
            case "link":
                (run / name).symlink_to("/dev/zero")
            case _:
                (run / name).mkdir()
    memory = EncoderMemory("auto", directory=run, device=two_gpus)
    choice = await asyncio.wait_for(memory.choose(), 5.0)
    assert (choice.family, choice.gpu) == ("nvenc", GpuId("GPU-bbbb", 1))
    x264 = await EncoderMemory("x264", directory=run, device=two_gpus).choose()
    assert x264.family == "x264"


@pytest.mark.parametrize("gpus", [5, [5], [{"uuid": "GPU-0"}], [{"uuid": "GPU-0", "index": float("inf")}]])
async def test_gpus_that_nobody_of_us_has_listed_are_asked_for_anew(
    two_gpus: Path, tmp_path: Path, gpus: object
) -> None:
    memory = EncoderMemory("auto", directory=tmp_path / "run", device=two_gpus)
    assert len(found := await memory.gpus()) == 2
    file = tmp_path / "run" / "gpus.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**kept, "gpus": gpus}), encoding="utf-8")
    assert await memory.gpus() == found
