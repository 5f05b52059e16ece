"""What a stream's command names is what the role asks FFmpeg for and what its build has, and nothing else."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from appliance.media.codec.codec_config import AudioConfig, VideoConfig
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.copying import with_copy
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source

if TYPE_CHECKING:
    from appliance.media.encode.ladder import EncoderFamily

CHECKOUT = Path(__file__).resolve().parents[3]
ROLE = CHECKOUT / "roles/ffmpeg"
WANTED: dict[str, list[str]] = yaml.safe_load((ROLE / "defaults/main.yml").read_text())["ffmpeg_capabilities"]
OTHERS = {
    # The trial of an encoder and the probe's clip make pictures and sound of their own; a trial throws away
    # what comes out, which the null muxer takes as it is.
    "demuxers": {"lavfi"} | {"mov", "mpegts"},  # these two: what the doctor looks into
    "decoders": {"h264", "aac", "wrapped_avframe", "pcm_s16le"},
    "filters": {"color", "testsrc2", "noise", "sine"},
    "encoders": {"wrapped_avframe", "pcm_s16le"},
    "muxers": {"null", "flv"},
    # SRT is for sources that come by it.
    "protocols": {"file", "srt"},
}
"""What no stream's command names, and who uses it."""

COMPONENTS = {
    "encoder": "encoders",
    "decoder": "decoders",
    "demuxer": "demuxers",
    "indev": "demuxers",
    "muxer": "muxers",
    "protocol": "protocols",
    "bsf": "bsfs",
    "filter": "filters",
}
"""FFmpeg's list, by the kind that its configure script knows."""
NAMES = {"libsrt": "srt", "dump_extradata": "dump_extra"}
"""What configure calls otherwise than the lists."""


def named(command: list[str]) -> dict[str, set[str]]:
    """Return what a command line names, by FFmpeg's lists."""
    pairs = list(itertools.pairwise(command))
    first_output = command.index("-filter_complex")
    graphs = [value for option, value in pairs if option in {"-filter_complex", "-vf"}]
    graph = re.sub(r"'[^']*'|\[[^\]]*\]", "", ";".join(graphs))
    return {
        "encoders": {value for option, value in pairs if re.match(r"-c:[av]$", option)},
        "filters": {step.partition("=")[0] for step in re.split("[;,]", graph)},
        "demuxers": {value for option, value in pairs[:first_output] if option == "-f"},
        "muxers": {value for option, value in pairs[first_output:] if option == "-f"},
        "bsfs": {value.partition("=")[0] for option, value in pairs if option.startswith("-bsf")},
        "hwaccels": {value for option, value in pairs if option == "-hwaccel"},
        "protocols": {match[1] for word in command if (match := re.match(r"([a-z]+):[0-9]+$", word))},
    }


def commands() -> dict[str, list[str]]:
    """Return the command of the full ladder for each encoder, and one that copies a source.

    The source needs every filter.
    """
    source = Source(VideoConfig(100, 42, 1920, 1080), AudioConfig(2, 44100, 2), Fraction(60))
    rungs = plan_rungs(load_ladder(CHECKOUT / "files/ladders/default.yml"), source)
    families: tuple[EncoderFamily, ...] = ("x264", "nvenc")
    plans: dict[str, RunPlan] = {
        family: RunPlan(
            source,
            rungs,
            EncoderChoice(family, "asked for"),
            segment_seconds=2,
            part_seconds=0.25,
            begin_s=1,
            thumbnail_seconds=10,
            gpu_decodes=family == "nvenc",
        )
        for family in families
    }
    plans["copying"] = replace(plans["x264"], rungs=with_copy(rungs, source, None)[0])
    assert plans["copying"].copies
    return {
        name: ffmpeg_command(plan, outputs=range(3, 3 + len(plan.outputs)), progress=9)
        for name, plan in plans.items()
    }


@pytest.mark.parametrize("name", ["x264", "nvenc", "copying"])
def test_the_role_asks_for_what_the_command_names(name: str) -> None:
    found = named(commands()[name])
    assert found["encoders"] - {"copy"}
    for listing, names in found.items():
        assert names - {"copy"} <= set(WANTED[listing]), listing


def test_the_role_asks_for_nothing_that_nobody_uses() -> None:
    used = [named(command) for command in commands().values()]
    for listing, wanted in WANTED.items():
        names = set().union(*(each.get(listing, set()) for each in used)) - {"copy"}
        assert set(wanted) == names | OTHERS.get(listing, set()), listing
        assert len(wanted) == len(set(wanted))


def enabled() -> dict[str, set[str]]:
    """Return what the role's own build has, by kind: as configure knows it, and `hwaccel` and `parser`."""
    found: dict[str, set[str]] = {}
    for line in (ROLE / "files/package/configure-arguments").read_text().splitlines():
        if match := re.fullmatch(r"--enable-([a-z]+)=([a-z0-9_,]+)", line):
            found.setdefault(match[1], set()).update(match[2].split(","))
    return found


def test_the_build_has_what_the_role_asks_for_and_nothing_else() -> None:
    built: dict[str, set[str]] = {}
    for kind, listing in COMPONENTS.items():
        names = enabled()[kind]
        built.setdefault(listing, set()).update(NAMES.get(name, name) for name in names)
    assert built["bsfs"] - set(WANTED["bsfs"]) == {"extract_extradata"}  # FFmpeg's own, for Transport Streams
    built["bsfs"].discard("extract_extradata")
    assert built == {listing: set(names) for listing, names in WANTED.items() if listing != "hwaccels"}
    assert enabled()["hwaccel"] == {"h264_nvdec"}
    assert enabled()["parser"] == {"h264", "aac"}


def test_the_build_speaks_no_other_protocol() -> None:
    lines = (ROLE / "files/package/configure-arguments").read_text().splitlines()
    assert {"--disable-everything", "--disable-autodetect"} <= set(lines)
    assert enabled()["protocol"] == {"pipe", "file", "libsrt"}
    assert not [line for line in lines if re.match(r"--enable-(openssl|gnutls|network|nonfree)", line)]


STUB = r"""#!/bin/sh
case $* in
    *-encoders*) echo ' V....D libx264  x'; echo ' A....D aac  y' ;;
    *-demuxers*) printf ' D   mov,mp4,m4a  z\n D d lavfi  device\n' ;;
    *testsrc2*) exec sh -c "$ENCODING" ;;
    *h264_nvenc*) exec sh -c "${NVENC:-exit 0}" ;;
    *scale_cuda*) exec sh -c "${NVDEC:-exit 0}" ;;
esac
"""
NONE = "echo Cannot load libcuda.so.1; exit 1"


@pytest.mark.parametrize(
    ("wanted", "encoding", "said"),
    [
        (["encoders/aac", "encoders/libx264", "demuxers/mp4", "demuxers/lavfi"], "exit 0", ""),
        (["encoders/aac", "encoders/mjpeg", "bsfs/dump_extra"], "exit 0", "encoders/mjpeg\nbsfs/dump_extra"),
        (["encoders/aac"], "echo Conversion failed >&2; exit 69", "Conversion failed\nexit status 69"),
        (["encoders/aac"], "echo a frame is broken >&2", "a frame is broken"),
    ],
)
def test_the_trial(tmp_path: Path, wanted: list[str], encoding: str, said: str) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(STUB)
    program.chmod(0o755)
    done = subprocess.run(
        ["sh", str(ROLE / "files/package/trial"), "works", str(program), *wanted],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "ENCODING": encoding},
    )
    assert done.returncode == (1 if said else 0)
    assert done.stdout.partition(":\n")[2].strip() == said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {}, ""),
        ({"NVENC": NONE, "NVDEC": NONE}, {"NVENC": NONE, "NVDEC": NONE}, ""),
        ({"NVENC": NONE}, {"NVENC": NONE}, ""),
        ({}, {"NVENC": "echo No capable devices found; exit 1"}, "No capable devices found\nexit status 1"),
        ({"NVENC": NONE}, {"NVDEC": "echo CUDA_ERROR_INVALID_PTX"}, "CUDA_ERROR_INVALID_PTX"),
    ],
    ids=["both", "no GPU", "a GPU without NVENC", "NVENC is lost", "scale_cuda is lost"],
)
def test_what_a_gpu_does_with_the_ffmpeg_in_use_it_has_to_do_with_the_new_one(
    tmp_path: Path, before: dict[str, str], after: dict[str, str], said: str
) -> None:
    for name, can in (("present", before), ("new", after)):
        program = tmp_path / name
        settings = "".join(f"{key}='{value}'\n" for key, value in {"ENCODING": "exit 0", **can}.items())
        program.write_text(STUB.replace("\n", f"\n{settings}", 1))
        program.chmod(0o755)
    trial = ["sh", str(ROLE / "files/package/trial"), "replaces"]
    done = subprocess.run(
        [*trial, str(tmp_path / "new"), str(tmp_path / "present"), "encoders/aac"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == (1 if said else 0), done.stdout + done.stderr
    assert done.stdout.partition(":\n")[2].strip() == said


STARTS = "#!/bin/sh\necho ffmpeg version 7.1.5-appliance\n"
STARTS_NOT = "#!/nowhere\n"


@pytest.mark.parametrize(
    ("built", "in_use", "noted", "found"),
    [
        (STARTS, None, [], "none"),
        (STARTS, STARTS, [], "built"),
        (STARTS, f"{STARTS}# older\n", [], "older"),
        (STARTS, f"{STARTS_NOT}# older\n", [f"{STARTS_NOT}# older\n"], "older"),
        (STARTS, f"{STARTS_NOT}# older\n", ["another\n", f"{STARTS_NOT}# older\n"], "older"),
        (None, f"{STARTS_NOT}# older\n", [f"{STARTS_NOT}# older\n"], "older"),
        (STARTS, "#!/bin/sh\nexec /usr/bin/ffmpeg\n", [STARTS], "foreign"),
        (STARTS, STARTS_NOT, [], "foreign"),
    ],
)
def test_whose_the_ffmpeg_in_use_is(
    tmp_path: Path, built: str | None, in_use: str | None, noted: list[str], found: str
) -> None:
    """By its checksum, whether or not it starts, and whether or not its package is there."""
    scripts = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    files = {name: tmp_path / name for name in ("built", "in-use", "record")}
    for text in noted:
        files["built"].write_text(text)
        note = ["sh", "-c", scripts["_ffmpeg_note"], "note", str(files["built"]), str(files["record"])]
        subprocess.run(note, check=True)
    files["built"].unlink(missing_ok=True)
    for name, content in (("built", built), ("in-use", in_use)):
        if content is not None:
            files[name].write_text(content)
            files[name].chmod(0o755)
    look = ["sh", "-c", scripts["_ffmpeg_look"], "look", *map(str, files.values())]
    done = subprocess.run(look, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == found
