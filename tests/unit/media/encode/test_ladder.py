"""The ladder file: what is read, and how a mistake is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.errors import EX_CONFIG, OperatorError
from appliance.media.encode.ladder import ladder_path, load_ladder, parse_ladder

HERE = Path("mine.yml")
RUNG = {"name": "720p", "width": 1280, "height": 720, "fps": 30, "video_kbps": 2800, "audio_kbps": 128}


def test_the_default_ladder_has_the_users_1080p_profile_on_top() -> None:
    ladder = load_ladder(ladder_path("default"))
    assert [rung.name for rung in ladder.rungs] == ["1080p", "720p", "480p", "360p"]
    top = ladder.rungs[0]
    assert (top.width, top.height, top.video_kbps, top.audio_kbps) == (1920, 1080, 5000, 192)
    assert top.encoders["nvenc"].preset == "p4"


def test_a_rungs_own_settings_lie_over_the_shared_ones() -> None:
    shared = {"x264": {"preset": "veryfast", "options": {"tune": "zerolatency"}}}
    own = {**RUNG, "encoders": {"x264": {"preset": "fast", "options": {"profile": "main"}}}}
    settings = parse_ladder({"encoders": shared, "rungs": [own]}, HERE).rungs[0].encoders["x264"]
    assert settings.preset == "fast"
    assert dict(settings.options) == {"tune": "zerolatency", "profile": "main"}


def test_the_peak_is_a_tenth_above_unless_stated() -> None:
    assert parse_ladder({"rungs": [RUNG]}, HERE).rungs[0].peak_kbps == 3080
    assert parse_ladder({"rungs": [{**RUNG, "peak_kbps": 4000}]}, HERE).rungs[0].peak_kbps == 4000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the file: '[]' is refused"),
        ({"rungs": []}, "rungs: '[]' is refused; allowed is a list of 1 to 8"),
        ({"rungs": [RUNG], "steps": 1}, "unknown key 'steps'; allowed: encoders, rungs"),
        ({"rungs": [{**RUNG, "bitrate": 1}]}, "rung 1: unknown key 'bitrate'"),
        ({"rungs": [{"name": "a"}]}, "rung 1: width is missing"),
        ({"rungs": [{**RUNG, "width": 1281}]}, "rung 720p: width 1281 is refused; allowed are even numbers"),
        ({"rungs": [{**RUNG, "width": "1280"}]}, "width '1280' is refused; allowed is a whole number"),
        ({"rungs": [{**RUNG, "height": True}]}, "height 'True' is refused"),
        ({"rungs": [{**RUNG, "fps": 0}]}, "fps '0' is refused; allowed is a number from 1 to 240"),
        ({"rungs": [{**RUNG, "peak_kbps": 100}]}, "peak_kbps 100 is refused; allowed is at least 2800"),
        ({"rungs": [{**RUNG, "name": "../x"}]}, "rung 1: name '../x' is refused"),
        ({"rungs": [{**RUNG, "name": "audio"}]}, "name 'audio' is refused"),
        ({"rungs": [RUNG, RUNG]}, "rung 720p is not smaller than 720p; allowed is largest first"),
        ({"rungs": [RUNG], "encoders": {"vp9": {}}}, "encoders: unknown key 'vp9'; allowed: nvenc, x264"),
        ({"rungs": [RUNG], "encoders": {"x264": {"options": {"g": 60}}}}, "x264: options: 'g' is refused"),
        ({"rungs": [RUNG], "encoders": {"x264": {"options": {"tune": "a b"}}}}, "tune: 'a b' is refused"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_place_value_and_what_is_allowed(data: Any, message: str) -> None:
    with pytest.raises(OperatorError) as caught:
        parse_ladder(data, HERE)
    assert caught.value.exit_code == EX_CONFIG
    assert message in caught.value.message
    assert caught.value.message.startswith("mine.yml: ")


def test_a_ladder_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("rungs: []", encoding="utf-8")
    with pytest.raises(OperatorError, match="ladders beside it: other"):
        load_ladder(tmp_path / "mine.yml")


def test_broken_yaml_is_an_operators_error(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text("rungs: [", encoding="utf-8")
    with pytest.raises(OperatorError, match="is not valid YAML"):
        load_ladder(tmp_path / "mine.yml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rungs: 2026-02-30\n", "holds a value that is none"),
        ("rungs: !!int abc\n", "holds a value that is none"),
        ("rungs: !!bool abc\n", "!!tag"),
        pytest.param("rungs: " + "[" * 5000 + "]" * 5000, "nested too deeply", id="deep"),
    ],
)
def test_a_file_that_yaml_stumbles_over_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(text)
    with pytest.raises(OperatorError, match=message) as caught:
        load_ladder(path)
    assert caught.value.exit_code == EX_CONFIG
    assert str(path) in str(caught.value)
