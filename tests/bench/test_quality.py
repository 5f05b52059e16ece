"""How near each rung comes to its source, and what another preset of x264 would make of the same bitrate.

The ladder's own command, as a stream has it, and each rung compared with the source scaled to its size, so
that only what the encoder loses counts: by VMAF where this FFmpeg has it, else by SSIM, and by PSNR. The
clips are made here, and harder than what a camera sends: what they show is the distance between presets, not
how a stream looks. NVENC is not compared: none was at hand.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.media.codec.codec_config import VideoConfig
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source
from tests.bench.conftest import Table

if TYPE_CHECKING:
    from appliance.media.encode.rungs import PlannedRung

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg: apt-get install ffmpeg")

SECONDS = 2
CLIPS = {
    "fractal": "mandelbrot=s=1920x1080:r=30:start_scale=0.5:end_scale=0.05:maxiter=600"
    f":end_pts={30 * SECONDS}",
    "grain": "testsrc2=s=1920x1080:r=30,noise=alls=6:allf=t",
    "life": "life=s=320x180:r=30:mold=8:ratio=0.2:seed=7:life_color=#40c080:death_color=#803020"
    ",scale=1920:1080:flags=bilinear",
}
"""Detail that grows everywhere, noise on sharp edges, and spots that come and go all over the picture."""

SOURCE = Source(VideoConfig(profile=100, level=40, width=1920, height=1080), None, Fraction(30))
FASTER, SLOWER = "superfast", "fast"
OWN = load_ladder(ladder_path("default")).rungs[0].encoders["x264"].preset


@dataclass(frozen=True)
class Encoded:
    """What one preset made of a clip: its rungs, and user and system seconds of FFmpeg."""

    files: dict[str, Path]
    cpu: float


@dataclass(frozen=True)
class Quality:
    """How near a rung is to the source. `main` is what the metric counts, `text` what a table shows."""

    main: float
    text: str


def rungs(preset: str) -> tuple[PlannedRung, ...]:
    """Return the ladder of the source, with another preset for x264."""
    planned = plan_rungs(load_ladder(ladder_path("default")), SOURCE)
    return tuple(
        replace(rung, encoders={**rung.encoders, "x264": replace(rung.encoders["x264"], preset=preset)})
        for rung in planned
    )


def source(name: str, folder: Path) -> Path:
    """Make a clip, nearly without loss."""
    path = folder / f"{name}.flv"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", CLIPS[name], "-t", str(SECONDS)]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-pix_fmt", "yuv420p", "-g", "60"]
    subprocess.run([*command, str(path)], check=True)
    return path


def encode(clip: Path, preset: str) -> Encoded:
    """Run the ladder's command over a clip, each rung into a file."""
    plan = RunPlan(
        SOURCE,
        rungs(preset),
        EncoderChoice("x264", "the bench compares x264 with itself"),
        segment_seconds=2.0,
        part_seconds=0.25,
    )
    files = {name: clip.with_name(f"{clip.stem}-{preset}-{name}.mp4") for name in plan.outputs}
    with ExitStack() as opened:
        media = opened.enter_context(clip.open("rb"))
        nowhere = opened.enter_context(Path(os.devnull).open("wb")).fileno()
        outputs = [opened.enter_context(path.open("wb")).fileno() for path in files.values()]
        before = os.times()
        subprocess.run(
            ffmpeg_command(plan, outputs=outputs, progress=nowhere),
            stdin=media,
            pass_fds=[*outputs, nowhere],
            check=True,
            capture_output=True,
        )
        after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Encoded(files, cpu)


def has_vmaf() -> bool:
    """Whether this FFmpeg was built with libvmaf."""
    said = subprocess.run(["ffmpeg", "-hide_banner", "-filters"], check=True, capture_output=True, text=True)
    return re.search(r"\blibvmaf\b", said.stdout) is not None


def compare(files: dict[str, Path], clip: Path, rung: PlannedRung, *, vmaf: bool) -> dict[str, Quality]:
    """Compare what each preset made of a rung with the source scaled to its size, frame by frame."""
    # By number: the files have clocks of their own. One FFmpeg for all, as the clip takes long to decode.
    number = "setpts=N/30/TB"
    wanted = "".join(f"[s-{preset}][p-{preset}]" for preset in files)
    graph = [f"[0:v]scale={rung.width}:{rung.height},format=yuv420p,{number},split={2 * len(files)}{wanted}"]
    for index, preset in enumerate(files, 1):
        graph.append(f"[{index}:v]{number},split[a-{preset}][b-{preset}]")
        first = f"libvmaf@{preset}=n_threads=2" if vmaf else f"ssim@{preset}"
        graph += [f"[a-{preset}][s-{preset}]{first}", f"[b-{preset}][p-{preset}]psnr@{preset}"]
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-i", str(clip)]
    command += [word for path in files.values() for word in ("-i", str(path))]
    command += ["-filter_complex", ";".join(graph), "-f", "null", "-"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    found = {}
    for preset in files:
        psnr = float(_found(rf"psnr@{preset} .* PSNR .*average:([\d.]+)", said))
        main = rf"libvmaf@{preset} .* VMAF score: ([\d.]+)" if vmaf else rf"ssim@{preset} .* All:([\d.]+)"
        score = float(_found(main, said))
        found[preset] = Quality(score, f"{score:.{1 if vmaf else 3}f} / {psnr:.1f}")
    return found


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text[-2000:]
    return match[1]


def kbps(file: Path) -> float:
    """Return the bitrate that came out."""
    return file.stat().st_size * 8 / SECONDS / 1000


def test_what_another_preset_would_make_of_the_same_bitrate(tmp_path: Path, tables: list[Table]) -> None:
    presets, vmaf = (FASTER, OWN, SLOWER), has_vmaf()
    rows: list[list[str]] = []
    found: dict[str, list[float]] = {preset: [] for preset in presets}
    cpu = dict.fromkeys(presets, 0.0)
    for name in CLIPS:
        clip = source(name, tmp_path)
        made = {preset: encode(clip, preset) for preset in presets}
        for rung in rungs(OWN):
            row = [f"{name} {rung.name}", f"{rung.video_kbps}", f"{kbps(made[OWN].files[rung.name]):.0f}"]
            files = {preset: made[preset].files[rung.name] for preset in presets}
            for preset, quality in compare(files, clip, rung, vmaf=vmaf).items():
                found[preset].append(quality.main)
                row.append(quality.text)
            rows.append(row)
        for preset in presets:
            cpu[preset] += made[preset].cpu
    means = {preset: statistics.mean(values) for preset, values in found.items()}
    rows.append(["all, on average", "", "", *(f"{means[preset]:.{1 if vmaf else 3}f}" for preset in presets)])
    cores = {preset: seconds / SECONDS / len(CLIPS) for preset, seconds in cpu.items()}
    rows.append(["cores for the whole ladder", "", "", *(f"{cores[preset]:.2f}" for preset in presets)])
    metric = f"{'VMAF' if vmaf else 'SSIM'} / PSNR in dB"
    tables.append(
        Table(
            f"x264's presets at the ladder's bitrates ({metric}; {SECONDS} s of 1080p30 each)",
            ["clip and rung", "kb/s wanted", "got", *presets],
            rows,
        )
    )
    assert means[FASTER] < means[OWN] < means[SLOWER]
    assert cpu[FASTER] < cpu[OWN] < cpu[SLOWER]
