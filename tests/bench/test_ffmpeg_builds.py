"""The role's own FFmpeg against the distribution's, both on one host: costs, and what each brings along.

The same command for both, in turn; a round's CPU time is that of its FFmpeg and nothing else.
"""

from __future__ import annotations

import json
import re
import statistics
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from appliance.media.codec.codec_config import AudioConfig, VideoConfig
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source
from appliance.media.encode.thumbnails import THUMBNAIL_SECONDS
from tests.bench.conftest import ROUNDS, Table
from tests.support.site import TOP, Site, bare

if TYPE_CHECKING:
    from collections.abc import Iterator

LAB = "ffmpeg-builds"
SECONDS = 6
STARTS = 10
_ROLE: dict[str, str] = yaml.safe_load((TOP / "roles/ffmpeg/vars/main.yml").read_text())
BUILT, DISTRIBUTED = _ROLE["_ffmpeg_in_use"], _ROLE["_ffmpeg_distributed"]
PACKAGE = _ROLE["_ffmpeg_package"]

# Asked: {"commands": two of them, "given": file on their standard input, "outputs": descriptors, "rounds"}.
# Prints for each command a list of [CPU seconds, seconds of the clock, greatest resident MB].
_MEASURE = r"""
import json, os, resource, subprocess, sys, time
asked = json.loads(sys.argv[1])
nowhere = os.open("/dev/null", os.O_WRONLY)
for descriptor in asked["outputs"]:
    os.dup2(nowhere, descriptor)
found = [[] for _ in asked["commands"]]
for _ in range(asked["rounds"]):
    for command, rounds in zip(asked["commands"], found):
        with open(asked["given"], "rb") as given:
            began = time.perf_counter()
            process = subprocess.Popen(command, stdin=given, stdout=nowhere, pass_fds=asked["outputs"])
            _, status, usage = os.wait4(process.pid, 0)
            took = time.perf_counter() - began
        assert status == 0, command
        rounds.append([usage.ru_utime + usage.ru_stime, took, usage.ru_maxrss / 1024])
print(json.dumps(found))
"""


def measure(host: Site, commands: list[list[str]], *, given: str, outputs: list[int], rounds: int) -> Any:
    """Run the commands in turn on the host; returns what `_MEASURE` prints."""
    asked = {"commands": commands, "given": given, "outputs": outputs, "rounds": rounds}
    return json.loads(host.run("python3", "-c", _MEASURE, json.dumps(asked), seconds=900).stdout)


def medians(rounds: list[list[list[float]]], column: int) -> tuple[float, float, str]:
    """Return both medians of a column, and the median of their ratios with its range."""
    ours, other = ([each[column] for each in command] for command in rounds)
    ratios = sorted(one / two for one, two in zip(ours, other, strict=True))
    text = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
    return statistics.median(ours), statistics.median(other), text


def installed(host: Site, *packages: str) -> tuple[int, float]:
    """Return how many packages apt would add for these, and their installed size in MB."""
    said = host.run("apt-get", "install", "--simulate", "--no-install-recommends", *packages).stdout
    names = re.findall(r"^Inst (\S+)", said, re.MULTILINE)
    sizes = host.run("apt-cache", "show", "--no-all-versions", *names).stdout
    kib = {
        stanza.split("\n", 1)[0]: int(found[1])
        for stanza in sizes.split("Package: ")
        if (found := re.search(r"^Installed-Size: (\d+)$", stanza, re.MULTILINE))
    }
    return len(names), sum(kib[name.partition(":")[0]] for name in names) * 1024 / 1e6


def libraries(host: Site, program: str) -> int:
    """Return how many shared libraries a program is loaded with."""
    return host.run("ldd", program).stdout.count(" => ")


@pytest.fixture(scope="module")
def host() -> Iterator[Site]:
    """A host with all that the appliance needs beside FFmpeg."""
    with bare(LAB) as made:
        made.apply("--tags=base", ffmpeg_source="build")
        yield made


def ladder(program: str) -> tuple[list[str], list[int]]:
    """Return the command of a 720p30 source's whole ladder, and the descriptors that it writes to."""
    source = Source(
        VideoConfig(profile=100, level=31, width=1280, height=720),
        AudioConfig(object_type=2, rate=48_000, channels=2),
        Fraction(30),
    )
    plan = RunPlan(
        source,
        plan_rungs(load_ladder(ladder_path("default")), source),
        EncoderChoice("x264", "the bench compares x264 with itself"),
        segment_seconds=2.0,
        part_seconds=0.25,
        thumbnail_seconds=THUMBNAIL_SECONDS,
    )
    outputs = list(range(20, 21 + len(plan.outputs)))
    return ffmpeg_command(plan, outputs=outputs[1:], progress=outputs[0], ffmpeg=program), outputs


def test_the_built_ffmpeg_costs_no_more_and_brings_less(host: Site, tables: list[Table]) -> None:
    packages, megabytes = installed(host, "ffmpeg")
    before = set(host.run("dpkg-query", "-W", "-f", "${Package}\n").stdout.split())
    host.apply("--tags=ffmpeg", ffmpeg_source="build")
    added = set(host.run("dpkg-query", "-W", "-f", "${Package}\n").stdout.split()) - before
    # What a build host has beside: the maker of the chroot.
    added &= needed(host)
    sizes = host.run("dpkg-query", "-W", "-f", "${Installed-Size}\n", *sorted(added)).stdout.split()
    host.run("apt-get", "install", "--yes", "--no-install-recommends", "ffmpeg", seconds=600)

    clip = "/root/clip.flv"
    picture = f"testsrc2=s=1280x720:r=30:d={SECONDS},noise=alls=6:allf=t"
    making = [BUILT, "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", picture]
    making += ["-f", "lavfi", "-i", f"sine=sample_rate=48000:duration={SECONDS}", "-ac", "2", "-c:a", "aac"]
    making += ["-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-b:v", "2800k", "-pix_fmt", "yuv420p"]
    host.run(*making, clip)

    programs = (BUILT, DISTRIBUTED)
    rungs = measure(
        host,
        [ladder(program)[0] for program in programs],
        given=clip,
        outputs=ladder(BUILT)[1],
        rounds=ROUNDS,
    )
    starts = measure(
        host,
        [[program, "-version"] for program in programs],
        given="/dev/null",
        outputs=[],
        rounds=STARTS,
    )
    ours, other, cpu = medians(rungs, 0)
    ours_mb, other_mb, memory = medians(rungs, 2)
    ours_start, other_start, start = medians(starts, 1)
    ours_libraries, other_libraries = (libraries(host, program) for program in programs)
    # what is in use is a copy of the package's program
    copied = int(host.run("stat", "--format=%s", BUILT).stdout)
    ours_megabytes = (sum(map(int, sizes)) * 1024 + copied) / 1e6
    rows = [
        ["CPU seconds of the ladder", f"{ours:.2f}", f"{other:.2f}", cpu],
        ["greatest resident MB of the ladder", f"{ours_mb:.0f}", f"{other_mb:.0f}", memory],
        ["milliseconds to start", f"{1000 * ours_start:.0f}", f"{1000 * other_start:.0f}", start],
        counted("shared libraries loaded", ours_libraries, other_libraries),
        counted("packages it adds to a host", len(added), packages),
        counted("their installed MB", ours_megabytes, megabytes),
    ]
    title = f"the built FFmpeg against the distribution's ({SECONDS} s of 720p30, three rungs)"
    tables.append(Table(title, ["", "built", "distribution", "ratio"], rows))
    assert ours <= other * 1.05
    assert ours_start < other_start
    assert ours_libraries < other_libraries / 5
    assert ours_megabytes < megabytes / 5


def counted(what: str, ours: float, other: float) -> list[str]:
    """Return a row of two figures that are the same each time."""
    return [what, f"{ours:.0f}", f"{other:.0f}", f"{ours / other:.2f}"]


def needed(host: Site) -> set[str]:
    """Return the built package with all that it depends on."""
    said = host.run(
        "apt-cache", "depends", "--installed", "--recurse", "--no-recommends", "--no-suggests",
        "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", PACKAGE,
    ).stdout  # fmt: skip
    return {line for line in said.splitlines() if re.fullmatch(r"[a-z0-9.+-]+", line)}
