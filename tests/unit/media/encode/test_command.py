"""The command line that a plan gives, and the command that shows it."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from typer.testing import CliRunner

from appliance.cli.ladder import app, parse_source
from appliance.errors import OperatorError
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import EncoderFamily, ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs


def _plan(source: str, family: EncoderFamily = "x264") -> RunPlan:
    what = parse_source(source)
    rungs = plan_rungs(load_ladder(ladder_path("default")), what)
    return RunPlan(what, rungs, EncoderChoice(family, "test"), 2.0, 0.25)


def _command(source: str, family: EncoderFamily = "x264") -> list[str]:
    plan = _plan(source, family)
    return ffmpeg_command(plan, outputs=range(4, 4 + len(plan.renditions)), progress=3)


def test_one_decode_and_one_pipe_for_each_rendition() -> None:
    command = _command("1920x1080@30")
    assert command.count("-i") == 1
    assert [word for word in command if word.startswith("pipe:")] == [
        "pipe:3", "pipe:0", "pipe:4", "pipe:5", "pipe:6", "pipe:7", "pipe:8"
    ]  # fmt: skip
    graph = command[command.index("-filter_complex") + 1]
    assert graph.startswith("[0:v:0]split=4")
    assert "scale=1920" not in graph
    assert "nobuffer" not in command


def test_no_muxer_may_move_its_track_alone() -> None:
    command = _command("1280x720@25")
    assert command.count("-avoid_negative_ts") == command.count("-movflags") == 4
    assert "-copyts" in command


def test_a_thinned_rung_keeps_the_frames_that_begin_segments() -> None:
    graph = _command("1280x720@59.94")[_command("1280x720@59.94").index("-filter_complex") + 1]
    assert graph.count("select=") == 2
    assert graph.count("floor((prev_t-start_t+0.0005)/2)") == 2


def test_nvenc_gets_its_own_settings() -> None:
    command = _command("1280x720@30", "nvenc")
    assert command.count("h264_nvenc") == 3
    assert command.count("-rc-lookahead:v") == 3
    assert "veryfast" not in command


def test_sound_alone_needs_no_picture() -> None:
    command = _command("audio")
    assert "-c:v" not in command
    assert "split" not in " ".join(command)


def test_outputs_must_match_the_renditions() -> None:
    with pytest.raises(ValueError, match="2 outputs"):
        ffmpeg_command(_plan("1280x720@30"), outputs=[4, 5], progress=3)


def test_show_prints_rungs_and_command_as_json() -> None:
    result = CliRunner().invoke(app, ["show", "--source", "854x480@25", "--encoder", "x264", "--json"])
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert [rung["name"] for rung in shown["rungs"]] == ["480p", "360p"]
    assert shown["command"] == _command("854x480@25")


def test_show_prints_a_table_for_people() -> None:
    result = CliRunner().invoke(app, ["show", "--encoder", "x264"])
    assert result.exit_code == 0
    assert "1920x1080" in result.stdout
    assert "ffmpeg -hide_banner" in result.stdout


@pytest.mark.parametrize("text", ["", "1280", "1280x720@0", "1280x720@999", "8x8", "1280x720p"])
def test_a_source_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="--source"):
        parse_source(text)


def test_rates_are_read_as_fractions_too() -> None:
    assert parse_source("1280x720@30000/1001").fps == Fraction(30000, 1001)
