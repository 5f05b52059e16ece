"""A real FFmpeg takes every option and value that NVENC, NVDEC and `scale_cuda` are given.

`swapped_ffmpeg` takes them off, so the other tests would not see one that does not exist.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import gpu_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg: apt-get install ffmpeg")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of FLV."""
    path = tmp_path_factory.mktemp("clip") / "clip.flv"
    subprocess.run(["ffmpeg", *gpu_options.CLIP, str(path)], check=True)
    return path


def complaints(words: Sequence[str], clip: Path) -> list[str]:
    done = subprocess.run(
        gpu_options.as_a_stream_has_it(words, str(clip)), check=False, capture_output=True, text=True
    )
    return gpu_options.complaints(done.returncode, done.stderr)


@pytest.mark.parametrize("gpu_decodes", [False, True])
def test_ffmpeg_takes_every_option(clip: Path, gpu_decodes: bool) -> None:
    assert complaints(gpu_options.command("ffmpeg", gpu_decodes=gpu_decodes), clip) == []


@pytest.mark.parametrize(
    ("gpu_decodes", "option", "other", "value"),
    [
        (False, "-zerolatency:v", "-zerolatencies:v", None),
        (False, "-preset:v", None, "p9"),
        (False, "-tune:v", None, "zerolatency"),
        (False, "-profile:v", None, "extended"),
        (False, "-rc:v", None, "crf"),
        (False, "-delay:v", None, "-3"),
        (False, "-gpu:v", None, "-7"),
        (False, "-forced-idr", None, "2"),
        (True, "-hwaccel", None, "cudda"),
        (True, "-hwaccel_output_format", None, "cudda"),
        (True, "-hwaccel", "-hwacell", None),
    ],
)
def test_it_refuses_one_that_it_does_not_have_or_whose_value_is_none(
    clip: Path, gpu_decodes: bool, option: str, other: str | None, value: str | None
) -> None:
    words = gpu_options.command("ffmpeg", gpu_decodes=gpu_decodes)
    at = words.index(option)
    words[at : at + 2] = [other or option, value or words[at + 1]]
    assert complaints(words, clip)


@pytest.mark.parametrize(
    ("part", "other"),
    [("scale_cuda=", "scale_cudda="), (":format=yuv420p", ":fromat=yuv420p"), ("=yuv420p", "=yuv421p")],
)
def test_it_refuses_a_scaler_that_it_does_not_have(clip: Path, part: str, other: str) -> None:
    words = gpu_options.command("ffmpeg", gpu_decodes=True)
    assert any(part in word for word in words)
    assert complaints([word.replace(part, other) for word in words], clip)
