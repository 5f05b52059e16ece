"""The command line that a plan gives, and the command that shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from typer.testing import CliRunner

from appliance.cli.ladder import app, parse_source
from appliance.errors import OperatorError
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.copying import with_copy
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.gpus import GpuId, environment_of
from appliance.media.encode.ladder import EncoderFamily, ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source
from appliance.settings import Settings


def _plan(source: str, family: EncoderFamily = "x264") -> RunPlan:
    what = parse_source(source)
    rungs = plan_rungs(load_ladder(ladder_path("default")), what)
    return RunPlan(what, rungs, EncoderChoice(family, "test"), 2.0, Settings().part_seconds)


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


def test_nvenc_holds_no_picture_back_and_begins_segments_with_idr_pictures() -> None:
    command = _command("1920x1080@60", "nvenc")
    assert command.count("h264_nvenc") == 4
    wanted = {
        "-preset:v": "p4",
        "-tune:v": "ll",
        "-rc-lookahead:v": "0",
        "-zerolatency:v": "1",
        "-delay:v": "0",
        "-bf": "0",
        "-forced-idr": "1",
    }
    for option, value in wanted.items():
        assert [command[at + 1] for at, word in enumerate(command) if word == option] == [value] * 4, option
    assert command.count("-force_key_frames") == 4
    assert "veryfast" not in command


def test_a_gpu_decodes_once_and_scales_each_rung() -> None:
    command = _line(replace(_plan("1920x1080@60", "nvenc"), gpu_decodes=True))
    assert command.count("-hwaccel") == command.count("-i") == 1
    graph = command[command.index("-filter_complex") + 1]
    assert graph.count("[0:v:0]") == 1
    assert graph.count("scale_cuda=") == 4
    assert "hwdownload" not in graph
    assert "hwupload" not in graph


def test_sound_that_is_muxed_with_pictures_comes_frame_by_frame() -> None:
    plan = replace(_plan("1280x720@25"), container="mpegts")
    command = ffmpeg_command(plan, outputs=range(4, 8), progress=3)
    given = [command[at + 1] for at, word in enumerate(command) if word == "-frag_duration"]
    assert given == ["180600"] * 3 + ["1"]
    assert command.count("mp4") == 4
    alone = ffmpeg_command(replace(_plan("audio"), container="mpegts"), outputs=[4], progress=3)
    assert alone == _command("audio")


def test_sound_alone_needs_no_picture() -> None:
    command = _command("audio")
    assert "-c:v" not in command
    assert "split" not in " ".join(command)


def _copying(source: str) -> tuple[RunPlan, list[str]]:
    plan = _plan(source)
    rungs, reason = with_copy(plan.rungs, plan.source, None)
    assert reason is None
    plan = replace(plan, rungs=rungs)
    return plan, ffmpeg_command(plan, outputs=range(4, 4 + len(plan.renditions)), progress=3)


def test_a_copied_source_is_neither_decoded_for_its_rung_nor_moved() -> None:
    plan, command = _copying("1280x720@59.94")
    assert plan.text == "720p 1280x720 copied, 480p 854x480, 360p 640x360"
    graph = command[command.index("-filter_complex") + 1]
    assert graph.startswith("[0:v:0]split=2")
    first = command.index("-map")
    assert command[first : first + 4] == ["-map", "0:v:0", "-c:v", "copy"]
    assert command.count("-avoid_negative_ts") == command.count("-movflags") == 4


def test_encoded_rungs_take_the_keyframes_of_a_copied_source() -> None:
    _, command = _copying("1280x720@59.94")
    forced = [command[at + 1] for at, word in enumerate(command) if word == "-force_key_frames"]
    assert forced == ["source", "source"]
    graph = command[command.index("-filter_complex") + 1]
    assert graph.count("+key'") == 2


def test_a_copied_source_that_is_the_only_rung_needs_no_filter() -> None:
    plan = _plan("320x180@30")
    rungs, _ = with_copy(plan.rungs, plan.source, None)
    silent = replace(plan, source=Source(plan.source.video, None, plan.source.fps), rungs=rungs)
    command = ffmpeg_command(silent, outputs=[4], progress=3)
    assert "-filter_complex" not in command
    assert "libx264" not in command


def test_thumbnails_have_a_graph_of_their_own() -> None:
    """FFmpeg 7.1 would hold the rungs back for ten seconds, until the thumbnail of their graph is there."""
    plan = replace(_plan("1280x720@30"), thumbnail_seconds=10)
    assert plan.outputs[-2:] == ("audio", "thumbnail.jpg")
    command = ffmpeg_command(plan, outputs=range(4, 9), progress=3)
    assert "mjpeg" not in command[command.index("-filter_complex") + 1]
    assert command[-2:] == ["image2pipe", "pipe:8"]
    assert "gte(t-prev_selected_t,10)" in command[command.index("-vf") + 1]
    assert replace(_plan("audio"), thumbnail_seconds=10).outputs == ("audio",)


def test_thumbnails_of_a_source_that_is_only_copied_decode_keyframes_only() -> None:
    plan = replace(_plan("320x180@30"), thumbnail_seconds=10)
    rungs, _ = with_copy(plan.rungs, plan.source, None)
    command = ffmpeg_command(replace(plan, rungs=rungs), outputs=range(4, 7), progress=3)
    assert command[command.index("-skip_frame") + 1] == "nokey"
    assert command.index("-skip_frame") < command.index("-i")


def test_pictures_stay_on_a_gpu_that_decodes() -> None:
    plan = replace(_plan("1280x720@59.94", "nvenc"), gpu_decodes=True, thumbnail_seconds=10)
    command = ffmpeg_command(plan, outputs=range(4, 9), progress=3)
    hardware = command.index("-hwaccel")
    assert command[hardware : hardware + 4] == ["-hwaccel", "cuda", "-hwaccel_output_format", "cuda"]
    assert hardware < command.index("-i")
    chains = command[command.index("-filter_complex") + 1].split(";")
    assert chains[0] == "[0:v:0]split=3[in0][in1][in2]"
    assert chains[1] == "[in0]scale_cuda=1280:720:format=yuv420p,setsar=1[720p]"
    assert chains[2].endswith(",scale_cuda=854:480:format=yuv420p,setsar=1[480p]")
    for chain in chains[:4]:
        assert not {"scale", "format"} & {step.partition("=")[0] for step in chain.split(",")}
    assert command.count("h264_nvenc") == 3
    assert "hwdownload,format=nv12,scale=" in command[command.index("-vf") + 1]


def test_what_was_published_already_is_only_decoded() -> None:
    plan = replace(_plan("854x480@25"), begin_s=2.24)
    command = ffmpeg_command(plan, outputs=[4, 5, 6], progress=3)
    graph = command[command.index("-filter_complex") + 1]
    assert graph.startswith("[0:v:0]trim=start=12.240,split=2")
    assert "[0:a:0]atrim=start=12.240,aresample" in graph


def test_outputs_must_match_the_renditions() -> None:
    with pytest.raises(ValueError, match="2 outputs"):
        ffmpeg_command(_plan("1280x720@30"), outputs=[4, 5], progress=3)


def test_show_prints_rungs_and_command_as_json() -> None:
    result = CliRunner().invoke(app, ["show", "--source", "854x480@25", "--encoder", "x264", "--json"])
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert [(rung["name"], rung["copied"]) for rung in shown["rungs"]] == [("480p", True), ("360p", False)]
    plan = _copying("854x480@25")[0]
    plan = replace(plan, thumbnail_seconds=10)
    assert shown["command"] == ffmpeg_command(plan, outputs=range(4, 8), progress=3)


def test_show_says_why_a_source_is_not_copied() -> None:
    result = CliRunner().invoke(app, ["show", "--source", "1366x768@25", "--encoder", "x264"])
    assert result.exit_code == 0
    assert "the source is not copied: its size is 1366x768, the rung's 1280x720" in " ".join(
        result.stdout.split()
    )
    result = CliRunner().invoke(app, ["show", "--encoder", "x264", "--copy-source", "never", "--json"])
    assert json.loads(result.stdout)["not_copied_because"] == "`copy_source` says never"


def test_show_refuses_what_is_no_choice() -> None:
    with pytest.raises(OperatorError, match="--copy-source: 'maybe' is refused; allowed: auto, never"):
        CliRunner().invoke(
            app, ["show", "--encoder", "x264", "--copy-source", "maybe"], catch_exceptions=False
        )


def test_show_prints_a_table_for_people() -> None:
    result = CliRunner().invoke(app, ["show", "--encoder", "x264"])
    assert result.exit_code == 0
    assert "1920x1080" in result.stdout
    assert "copy" in result.stdout
    assert "ffmpeg -hide_banner" in result.stdout


@pytest.mark.parametrize("text", ["", "1280", "1280x720@0", "1280x720@999", "8x8", "1280x720p"])
def test_a_source_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="--source"):
        parse_source(text)


def test_rates_are_read_as_fractions_too() -> None:
    assert parse_source("1280x720@30000/1001").fps == Fraction(30000, 1001)


def test_decoder_and_encoders_take_the_same_gpu() -> None:
    """CUDA's first, which is the only one of FFmpeg's environment where the GPU is known by name."""
    command = _line(replace(_plan("1280x720@30", "nvenc"), gpu_decodes=True))
    assert [command[at + 1] for at, word in enumerate(command) if word == "-gpu:v"] == ["0"] * 3
    assert "-hwaccel_device" not in command
    assert "-gpu:v" not in _line(_plan("1280x720@30"))
    assert environment_of(None) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert environment_of(GpuId("GPU-a1", 3))["CUDA_VISIBLE_DEVICES"] == "GPU-a1"


def _line(plan: RunPlan) -> list[str]:
    return ffmpeg_command(plan, outputs=range(4, 4 + len(plan.outputs)), progress=3)
