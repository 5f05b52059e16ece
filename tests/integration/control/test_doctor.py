"""The doctor's questions to real services: Valkey, control service, ingest, and the chain through them."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.names import StreamName
from appliance.ops.doctor import backend, services, valkey
from appliance.ops.doctor.check import Check, in_order, run_checks
from appliance.ops.doctor.report import this_host
from appliance.ops.doctor.stream_path import follow
from appliance.state.events import DEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.health.finding import Finding
    from tests.integration.control.conftest import Site
    from tests.support.stub_backend import StubBackend

CHECKS = (
    Check("valkey", valkey.valkey),
    Check("control", services.control),
    Check("ingest", services.ingest, after=("control",)),
    Check("parts", services.parts, after=("valkey", "ingest")),
    Check("backend", backend.backend),
    Check("events", backend.events, after=("backend",)),
)


async def look(file: Path) -> list[Finding]:
    """Return what is found now."""
    host = this_host(file)
    host.credentials = file.parent / "credentials"
    return in_order(CHECKS, await run_checks(CHECKS, host))


def said(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.what) for finding in findings]


def change(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


@contextlib.contextmanager
def other(secret: Path, text: str) -> Iterator[None]:
    """Have another secret in a file."""
    kept = secret.read_text()
    secret.chmod(0o600)
    secret.write_text(text)
    yield
    secret.write_text(kept)


async def test_what_ails_a_service_is_named_and_what_follows_from_it_stands_below(
    site: Site, tmp_path: Path
) -> None:
    here, credentials = tmp_path / "appliance.yml", tmp_path / "credentials"
    assert await look(here) == []

    site.valkey.send(signal.SIGSTOP)
    for _ in ("frozen", "gone"):
        findings = await look(here)
        assert said(findings)[0] == ("valkey", "Valkey does not answer")
        assert ("parts", "the control service does not reach Valkey") in said(findings)
        assert all("valkey" in finding.follows for finding in findings[1:])
        await site.valkey.end()
    await site.valkey.up()

    site.nginx.send(signal.SIGSTOP)
    assert said(await look(here)) == [
        ("ingest", "ingest does not speak RTMP"),
        ("ingest", "ingest's statistics do not answer"),
        ("parts", "the control service does not reach ingest's /stat"),
    ]
    site.nginx.send(signal.SIGCONT)

    with other(credentials / "rtmp-reader-secret", "another-secret-of-the-readers"):
        [finding] = await look(here)
        assert finding.what == "the callback chain is broken: ingest is refused our own reader"

    with other(credentials / "valkey-password", "another-password"):
        [finding] = await look(here)
        assert (finding.check, finding.what) == ("valkey", "Valkey does not answer")
        assert "password" in finding.seen
        assert "site.yml" in finding.mend

    async with site.valkey_client() as client:
        await client.xadd(DEAD, {"id": "evt_x", "type": "test", "stream": "demo", "body": "{}"})
        [finding] = await look(here)
        assert finding.seen.startswith("1 dead letter;")
        await client.delete(DEAD)
    assert await look(here) == []

    known = this_host(here)
    known.credentials = credentials
    way = await follow(known, StreamName("dmo"))
    assert way.findings[0].what == "this host knows no stream dmo"
    assert way.findings[0].seen.endswith("near to it: demo")
    way = await follow(this_host(here), StreamName("demo"))
    assert (way.described()["stops"], way.findings[0].what) == (
        "encoder",
        "nobody publishes demo to this host",
    )
    await site.publish("demo")
    way = await follow(this_host(here), StreamName("demo"))
    assert (way.steps[0].verdict.value, way.steps[0].seen) == ("ok", "published from 127.0.0.1")
    assert way.described()["stops"] == "unit", "no systemd of this host's runs it"


class TestWithABackend:
    """The same with a backend in the settings."""

    @pytest.fixture
    def settings(self, backend: StubBackend) -> dict[str, object]:
        return {"allowed_stream_keys": ["demo"], "node": "here", "http_callback_url": backend.url}

    async def test_it_is_reached_or_not(self, site: Site, tmp_path: Path, backend: StubBackend) -> None:
        here = tmp_path / "appliance.yml"
        assert site.control.port
        assert await look(here) == []
        change(here, backend.url, "http://127.0.0.1:9")
        [finding] = await look(here)
        assert (finding.check, finding.what) == ("backend", "the backend cannot be reached")
        assert "127.0.0.1 port 9: Connect" in finding.seen
