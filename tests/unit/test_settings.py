"""The settings file: what it accepts, and that a refusal names key, value and what is allowed."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from appliance.errors import EX_CONFIG, OperatorError
from appliance.media.encode.described import described_source
from appliance.settings import Settings, describe

if TYPE_CHECKING:
    from pathlib import Path


def write(directory: Path, text: str) -> Path:
    path = directory / "appliance.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_gives_the_defaults_and_nobody_may_publish(tmp_path: Path) -> None:
    settings = Settings.load(write(tmp_path, "# nothing set\n"))
    assert settings == Settings()
    assert settings.allowed_stream_keys == ()


def test_every_default_passes_its_own_rule() -> None:
    defaults = {item.name: item.default for item in fields(Settings)}
    defaults["allowed_stream_keys"] = []
    assert Settings.from_mapping(defaults) == Settings()


def test_every_setting_is_documented() -> None:
    for name, _, allowed, text in describe():
        assert allowed, name
        assert text.endswith("."), name


def test_values_are_read(tmp_path: Path) -> None:
    text = "allowed_stream_keys: ['demo', cam-1]\nsegment_seconds: 4\nrtmp_play: true\n"
    settings = Settings.load(write(tmp_path, text))
    assert settings.allowed_stream_keys == ("demo", "cam-1")
    assert settings.segment_seconds == 4.0
    assert settings.rtmp_play is True


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("segment_second: 2\n", ["segment_second", "did you mean segment_seconds"]),
        ("colour: red\n", ["colour", "known settings"]),
        ("segment_seconds: two\n", ["segment_seconds", "'two'", "from 1 to 10"]),
        ("segment_seconds: yes\n", ["segment_seconds", "True", "number"]),
        ("window_segments: 3\n", ["window_segments", "'3'", "from 6"]),
        ("encoder: nvidia\n", ["encoder", "nvidia", "auto, nvenc, x264"]),
        ("allowed_stream_keys: demo\n", ["allowed_stream_keys", "demo", "list"]),
        ("allowed_stream_keys: [../etc]\n", ["allowed_stream_keys", "../etc", "stream names"]),
        ("allowed_stream_keys: [1234]\n", ["allowed_stream_keys", "1234", "quoted"]),
        ("control_url: https://127.0.0.1\n", ["control_url", "https://127.0.0.1", "http://"]),
        ("rtmp_play: 1\n", ["rtmp_play", "true or false"]),
        ("lease_seconds: 10\nreconcile_seconds: 5\n", ["lease_seconds", "10", "three times"]),
        ("part_seconds: 2\nsegment_seconds: 1\n", ["part_seconds", "2", "segment_seconds (1)"]),
        ("container: ts\n", ["container", "'ts'", "one of fmp4, mpegts"]),
        ("container: mpegts\nlow_latency: true\n", ["low_latency", "True", "mpegts", "false"]),
        ("view_policy: backend\n", ["view_policy", "http_callback_url"]),
        ("view_policy: closed\n", ["view_policy", "'closed'", "one of open, token, backend"]),
        ("encoder: x264\nencoder: auto\n", ["encoder", "twice"]),
        ("- a\n- b\n", ["mapping"]),
        ("a: [\n", ["not valid YAML"]),
        ("? [a, b]\n: 1\n", ["appliance.yml"]),
        ("node: 2026-02-30\n", ["holds a value that is none", "quote it"]),
        ("window_segments: !!int abc\n", ["holds a value that is none", "abc"]),
        ("node: !!timestamp abc\n", ["!!tag"]),
        ("rtmp_play: !!bool abc\n", ["!!tag"]),
        pytest.param("node: " + "[" * 5000 + "]" * 5000, ["nested too deeply"], id="deep"),
        ("ingest_url: rtmp://a:b:c/live\n", ["ingest_url", "1 to 65535"]),
        ("ingest_url: rtmp://a:99999/live\n", ["ingest_url", "1 to 65535"]),
        ("ingest_url: rtmp://a:/live\n", ["ingest_url", "1 to 65535"]),
        ("control_url: http://a:0\n", ["control_url", "1 to 65535"]),
        ("http_callback_url: http://backend.example\n", ["http_callback_url", "backend.example", "https://"]),
        ("http_callback_url: http://8.8.8.8/hooks\n", ["http_callback_url", "private address"]),
        ("http_callback_url: https://a.example/x?key=1\n", ["http_callback_url", "without a query"]),
        ("http_callback_url: https://user:pass@a.example\n", ["http_callback_url", "https://"]),
        ("http_callback_url: ftp://a.example\n", ["http_callback_url", "https://"]),
        ("callback_seconds: 3\ncallback_attempts: 3\n", ["callback_seconds", "at most 6", "ten seconds"]),
        ("callback_when_silent: allow\n", ["callback_when_silent", "refuse, last-known"]),
        ("stat_url: http://::1/stat\n", ["stat_url", "1 to 65535"]),
        ("admission: on\n", ["admission", "True", "measured, off"]),
        ("copy_source: off\n", ["copy_source", "False", "auto, never"]),
        ("admission_source: 0x0@0\n", ["0x0@0", "sides from 16 to 9999", "1 to 240 pictures a second"]),
        ("admission_source: 1920x1080@3000\n", ["1920x1080@3000", "1 to 240 pictures a second"]),
    ],
)
def test_a_refusal_names_key_value_and_what_is_allowed(tmp_path: Path, text: str, named: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(OperatorError) as refused:
        Settings.load(path)
    shown = f"{refused.value} {refused.value.hint}"
    assert str(path) in shown
    for part in named:
        assert part in shown
    assert refused.value.exit_code == EX_CONFIG


@pytest.mark.parametrize(
    "url", ["http://a-b.example", "http://10.0.0.1:65535/x", "http://[::1]:8000/", "http://[fe80::1]"]
)
def test_an_address_with_or_without_a_port_is_read(url: str) -> None:
    assert Settings.from_mapping({"control_url": url}).control_url == url


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ""),
        ("https://backend.example/hooks/", "https://backend.example/hooks"),
        ("https://10.0.0.1:8443", "https://10.0.0.1:8443"),
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://192.168.1.2/x", "http://192.168.1.2/x"),
        ("http://[fd00::1]:9000", "http://[fd00::1]:9000"),
    ],
)
def test_a_backend_is_encrypted_or_near(given: str, read: str) -> None:
    assert Settings.from_mapping({"http_callback_url": given}).http_callback_url == read


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"missing\.yml: cannot be read: No such file"):
        Settings.load(tmp_path / "missing.yml")


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "appliance.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OperatorError, match="not UTF-8"):
        Settings.load(path)


@pytest.mark.parametrize("text", ["off", "'off'", "no", "false"])
def test_off_is_a_word_though_yaml_takes_it_for_false(tmp_path: Path, text: str) -> None:
    assert Settings.load(write(tmp_path, f"admission: {text}\n")).admission == "off"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1920x1080@30",
            "1280x720@29.97",
            "1280x720@59.940",
            "1920x1080@30000/1001",
            "16x16@1",
            "9999x9999@240",
        ),
        *(
            "0x0@0",
            "15x16@30",
            "16x15@30",
            "1920x1080@3000",
            "1920x1080@241",
            "1920x1080@0.5",
            "1920x1080@9999/1000",
        ),
        *("1920x1080@240000/1000", "1920x1080@240001/1000", "1920x1080@", "1920*1080@30", "99999x1080@30"),
        *("1920x1080@29.9999", "1920x1080@-30", "1920x1080@1e2", " 1920x1080@30"),
    ],
)
def test_what_a_stream_counts_as_is_a_source_as_the_probes_take_it(text: str) -> None:
    try:
        described_source(text)
    except ValueError:
        with pytest.raises(OperatorError, match="admission_source"):
            Settings.from_mapping({"admission_source": text})
    else:
        assert Settings.from_mapping({"admission_source": text}).admission_source == text


@pytest.mark.parametrize("text", ["audio", "1920x1080"])
def test_a_stream_counts_as_pictures_at_a_rate(text: str) -> None:
    described_source(text)
    with pytest.raises(OperatorError, match="admission_source"):
        Settings.from_mapping({"admission_source": text})
