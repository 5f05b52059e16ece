"""The doctor's questions to real services: Valkey, control service, ingest, and the chain through them."""

from __future__ import annotations

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
    from appliance.ops.doctor.finding import Finding
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


@pytest.fixture
def here(site: Site, tmp_path: Path) -> Path:
    """Give the settings of a host whose services run."""
    assert site.control.port
    return tmp_path / "appliance.yml"


async def look(file: Path) -> list[Finding]:
    """Return what is found now."""
    host = this_host(file)
    host.credentials = file.parent / "credentials"
    return in_order(CHECKS, await run_checks(CHECKS, host))


def said(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.what) for finding in findings]


def change(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


async def test_services_that_do_their_work_are_no_finding(here: Path) -> None:
    assert await look(here) == []


async def test_a_valkey_that_is_gone_or_frozen_is_named_first(site: Site, here: Path) -> None:
    site.valkey.send(signal.SIGSTOP)
    for _ in range(2):
        findings = await look(here)
        assert said(findings)[0] == ("valkey", "Valkey does not answer")
        assert ("parts", "the control service does not reach Valkey") in said(findings)
        assert all("valkey" in finding.follows for finding in findings[1:])
        await site.valkey.end()
    await site.valkey.up()
    assert await look(here) == []


async def test_an_ingest_that_hangs(site: Site, here: Path) -> None:
    site.nginx.send(signal.SIGSTOP)
    findings = said(await look(here))
    assert ("ingest", "ingest does not speak RTMP") in findings[:2]
    assert ("parts", "the control service does not reach ingest's /stat") in findings
    site.nginx.send(signal.SIGCONT)
    assert await look(here) == []


async def test_a_reader_that_the_control_service_does_not_know(here: Path) -> None:
    (here.parent / "credentials" / "rtmp-reader-secret").chmod(0o600)
    (here.parent / "credentials" / "rtmp-reader-secret").write_text("another-secret-of-the-readers\n")
    [finding] = await look(here)
    assert finding.what == "the callback chain is broken: ingest is refused our own reader"


async def test_a_password_that_valkey_does_not_take(here: Path) -> None:
    (here.parent / "credentials" / "valkey-password").chmod(0o600)
    (here.parent / "credentials" / "valkey-password").write_text("another-password\n")
    [finding] = await look(here)
    assert finding.what == "Valkey does not answer"
    assert "password" in finding.seen
    assert "site.yml" in finding.mend


async def test_a_dead_letter(site: Site, here: Path) -> None:
    async with site.valkey_client() as client:
        await client.xadd(DEAD, {"id": "evt_x", "type": "test", "stream": "demo", "body": "{}"})
    [finding] = await look(here)
    assert finding.seen.startswith("1 dead letter;")


async def test_who_publishes_is_seen_and_who_does_not(site: Site, here: Path) -> None:
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

    async def test_it_is_reached(self, here: Path) -> None:
        assert await look(here) == []

    async def test_it_is_not(self, site: Site, here: Path, backend: StubBackend) -> None:
        assert site
        change(here, backend.url, "http://127.0.0.1:9")
        [finding] = await look(here)
        assert (finding.check, finding.what) == ("backend", "the backend cannot be reached")
        assert "127.0.0.1 port 9: Connect" in finding.seen
