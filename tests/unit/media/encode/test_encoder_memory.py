"""The choice of an encoder outlives the process, and nothing that it depends on."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import OperatorError
from appliance.media.encode.encoder_memory import FILE, SHARED, EncoderMemory

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
    memory.forget()
    await memory.choose()
    assert _trials(ffmpeg) == 6
    other = EncoderMemory("x264", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
    assert (await other.choose()).reason == "the setting `encoder` says x264"
    assert _trials(ffmpeg) == 7


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
    assert _trials(ffmpeg) == 4


async def test_what_does_not_work_is_not_remembered(ffmpeg: Path, tmp_path: Path) -> None:
    memory = EncoderMemory("nvenc", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
    with pytest.raises(OperatorError):
        await memory.choose()
    assert not (tmp_path / "run" / FILE).exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"made_for": 1}'])
async def test_a_broken_file_is_no_memory(ffmpeg: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FILE).write_bytes(content)
    memory = EncoderMemory("x264", directory=tmp_path / "run", ffmpeg=str(ffmpeg), device=_NO_GPU)
    assert (await memory.choose()).family == "x264"


async def test_it_is_kept_in_the_folder_that_streams_share(
    ffmpeg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / SHARED
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/other:{shared}")
    await EncoderMemory.of_unit("x264", ffmpeg=str(ffmpeg)).choose()
    assert (shared / FILE).exists()
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    await EncoderMemory.of_unit("x264", ffmpeg=str(ffmpeg)).choose()
    assert _trials(ffmpeg) == 2
