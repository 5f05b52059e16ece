"""Nothing that is secret is left in a text, and what is not secret stays."""

from __future__ import annotations

import json
import secrets
import tarfile
import time
from pathlib import Path

import pytest

from appliance.errors import OperatorError
from appliance.ops.doctor.bundle import write_bundle
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.report import Report
from appliance.ops.doctor.scrub import REMOVED, Scrubber, secrets_below, secrets_in_url, without_paths
from appliance.secrets.making import make_missing
from appliance.settings import Settings

JWT = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.eyJzdHJlYW0iOiJkZW1vIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
PEM = "-----BEGIN EC PRIVATE " + "KEY-----\nMHcCAQEEIJ\n-----END EC PRIVATE " + "KEY-----"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"GET /hls/t/{JWT}/demo.m3u8 200", "/demo.m3u8 200"),
        (f"Authorization: Bearer {'a' * 30}", "Authorization: Bearer "),
        ("rtmp://host/live/demo?key=hunter2hunter2&x=1", "rtmp://host/live/demo?key="),
        ("play demo?reader=hunter2hunter2", "play demo?reader="),
        ("http_callback_url: https://me:hunter2hunter2@backend.example/cb", "@backend.example/cb"),
        ("webhook_secret: hunter2hunter2", "webhook_secret: "),
        ('{"password": "hunter2hunter2", "stream": "demo"}', '"stream": "demo"'),
        ("whsec_aHVudGVyMmh1bnRlcjI=", ""),
        ("user default on #" + "0f" * 32 + " ~* +@all", "~* +@all"),
        (PEM, ""),
        ("a = 1\nnet.ipv4.tcp_fastopen_key = hunter2-hunter2,hunter2-hunter2\nb = 2", "tcp_fastopen_key = "),
        ("net.ipv6.conf.eth0.stable_secret = hunter2:hunter2", "stable_secret = "),
    ],
)
def test_what_looks_like_a_secret_is_removed(text: str, kept: str) -> None:
    found = Scrubber(())(text)
    assert REMOVED in found
    assert "hunter2" not in found
    assert JWT not in found
    assert "MHcCAQEEIJ" not in found
    assert kept in found


def test_what_is_no_secret_stays() -> None:
    text = (
        'stream=demo status=403 "reason": "key does not fit" kid 1-0f0f0f0f 2026-01-01T00:00:00Z key 1-6b07'
    )
    assert Scrubber({"hunter2hunter2"})(text) == text


def test_every_secret_of_the_host_is_known(tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    make_missing(directory, bytes(range(32)))
    known = secrets_below(directory)
    for name in (
        "valkey-password",
        "rtmp-reader-secret",
        "stream-key-pepper",
        "admin-token",
        "webhook-secret",
    ):
        assert (directory / name).read_text().split()[0] in known
    keyring = json.loads((directory / "content-keyring").read_text())
    assert keyring["generations"]["1"]["master"] in known
    assert not any(text.startswith("20") and ":" in text for text in known), "times are no secrets"


async def test_an_archive_has_none_of_the_planted_secrets(tmp_path: Path) -> None:
    directory, root = tmp_path / "credentials", tmp_path / "hls"
    make_missing(directory, None, webhook_secret="operators-own-" + secrets.token_hex(8))
    planted = [text for text in secrets_below(directory) if len(text) >= 8]
    stream = root / "demo"
    stream.mkdir(parents=True)
    (stream / "status.json").write_text(
        json.dumps({"reason": f"said {' and '.join(planted)}", "reader": JWT})
    )
    webhook = f"https://backend.example/hooks-of-this-test/{secrets.token_urlsafe(24)}/x"
    planted += [webhook.split("/")[4], "hooks-of-this-test"]
    settings = tmp_path / "appliance.yml"
    settings.write_text(f"http_callback_url: {webhook}\nwindow_segments: 10\n")
    host = Host(
        settings=Settings(media_root=str(root), control_url="http://127.0.0.1:9", http_callback_url=webhook),
        settings_file=settings,
        credentials=directory,
    )
    said = {"planted": " ".join(planted[:-1]), "asked": f"POST {webhook}/events"}
    report = Report(0.0, 0.0, (), (), said, ())
    file = tmp_path / "support.tar.gz"
    size = await write_bundle(host, report, file)
    assert size == file.stat().st_size > 0
    assert file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(file) as archive:
        names = archive.getnames()
        texts = [found.read().decode() for name in names if (found := archive.extractfile(name))]
    [top] = {name.partition("/")[0] for name in names}
    assert f"{top}/streams/demo/status.json" in names
    assert f"{top}/commands/disks.txt" in names
    assert f"http_callback_url: https://backend.example/{REMOVED}\nwindow_segments: 10\n" in texts
    assert [text for text in [*planted, JWT] if any(text in content for content in texts)] == []
    with pytest.raises(OperatorError, match="File exists"):
        await write_bundle(host, report, file)


def test_of_a_web_address_the_host_stays() -> None:
    text = "http_callback_url: 'https://backend.example:8443/services/T0/hunter2?sig=hunter2'\nstat: 1\n"
    assert without_paths(text) == f"http_callback_url: 'https://backend.example:8443/{REMOVED}'\nstat: 1\n"
    for url in ("", "https://backend.example", "https://backend.example/"):
        assert secrets_in_url(url) == set()
        assert without_paths(f"url: {url}") == f"url: {url}"
    assert "/etc/appliance" in Scrubber(secrets_in_url("https://a.example/appliance"))("/etc/appliance")


async def test_no_archive_without_knowing_the_secrets(tmp_path: Path) -> None:
    file = tmp_path / "support.tar.gz"
    host = Host(credentials=tmp_path / "none")
    with pytest.raises(OperatorError, match="cannot be removed"):
        await write_bundle(host, Report(0.0, 0.0, (), (), {}, ()), file)
    assert not file.exists()


def test_a_stranger_in_a_log_neither_hides_what_follows_nor_holds_it_up() -> None:
    lines = [f"line {number}: well" for number in range(5000)]
    hostile = ["-----BEGIN PRIVATE " + "KEY-----", "a-" * 20_000, "eyJ-" * 10_000, "a-" * 20_000 + "://"]
    began = time.process_time()
    kept = Scrubber([])("\n".join([*hostile, *lines])).splitlines()
    assert kept[-4999:] == lines[-4999:]
    assert time.process_time() - began < 5  # in proportion to the square it would be minutes
