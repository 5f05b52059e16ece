"""What a stream's command names is what the role asks FFmpeg for, and nothing else."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from appliance.media.codec.codec_config import AudioConfig, VideoConfig
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source

if TYPE_CHECKING:
    from appliance.media.encode.ladder import EncoderFamily

CHECKOUT = Path(__file__).resolve().parents[3]
WANTED: dict[str, list[str]] = yaml.safe_load((CHECKOUT / "roles/ffmpeg/defaults/main.yml").read_text())[
    "ffmpeg_capabilities"
]


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
        "protocols": {match[1] for word in command if (match := re.match(r"([a-z]+):[0-9]+$", word))},
    }


def commands() -> dict[EncoderFamily, list[str]]:
    """Return the command of the full ladder for each encoder, from a source that needs every filter."""
    source = Source(VideoConfig(100, 42, 1920, 1080), AudioConfig(2, 44100, 2), Fraction(60))
    rungs = plan_rungs(load_ladder(CHECKOUT / "files/ladders/default.yml"), source)
    families: tuple[EncoderFamily, ...] = ("x264", "nvenc")
    return {
        family: ffmpeg_command(
            RunPlan(
                source,
                rungs,
                EncoderChoice(family, "asked for"),
                segment_seconds=2,
                part_seconds=0.25,
                begin_s=1,
                thumbnail_seconds=10,
                gpu_decodes=family == "nvenc",
            ),
            outputs=range(3, 5 + len(rungs)),
            progress=9,
        )
        for family in families
    }


@pytest.mark.parametrize("family", ["x264", "nvenc"])
def test_the_role_asks_for_what_the_command_names(family: EncoderFamily) -> None:
    for listing, names in named(commands()[family]).items():
        assert names, listing
        assert names <= set(WANTED[listing]), listing


def test_the_role_asks_for_nothing_that_no_stream_uses() -> None:
    used = [named(command) for command in commands().values()]
    # The trial of an encoder makes a picture of its own and throws it away; SRT is an ingest protocol.
    others = {"filters": {"color"}, "muxers": {"null"}, "protocols": {"srt"}}
    for listing in used[0]:
        assert set(WANTED[listing]) == set.union(
            *(names[listing] for names in used), others.get(listing, set())
        )
