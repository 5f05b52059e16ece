"""Valkey is killed while twenty watch: none of them notices, and who comes is told what it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.control.conftest import eventually
from tests.integration.control.watching import Watcher, token
from tests.support.stub_backend import StubBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.control.conftest import Site

POLICIES = ("open", "token", "backend")
PAUSE_SECONDS = 0.1
AWAY_SECONDS = 3.0
BACK_SECONDS = 5.0


@pytest.fixture
def settings(settings: dict[str, Any], backend: StubBackend) -> dict[str, Any]:
    # The backend is asked all the while.
    return {
        **settings,
        "delivery_view_auth": True,
        "http_callback_url": backend.url,
        "callback_view_seconds": 1,
        "view_sessions_per_viewer": 3,
    }


@dataclass
class Watching:
    """Players that ask on and on, and what they were answered and when."""

    watchers: list[Watcher]
    answers: list[tuple[float, int]] = field(default_factory=list)
    slowest: float = 0.0

    async def run(self, watcher: Watcher) -> None:
        """One of them."""
        while True:
            began = time.monotonic()
            self.answers.append((began, await watcher.ask()))
            self.slowest = max(self.slowest, time.monotonic() - began)
            await asyncio.sleep(PAUSE_SECONDS)

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """They do so inside the block."""
        tasks = [asyncio.create_task(self.run(watcher)) for watcher in self.watchers]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended


async def test_who_was_let_in_watches_on(site: Site, tmp_path: Path) -> None:
    for policy in POLICIES:
        assert (await site.api("PUT", f"streams/{policy}", {"view": policy})).status_code == 201
    watching = Watching(
        [
            Watcher(
                site=site,
                stream=(policy := POLICIES[number % 3]),
                address=f"192.0.2.{number}",
                token=token(tmp_path, policy, viewer=f"v{number}") if policy == "token" else "",
            )
            for number in range(20)
        ]
    )
    shown = {"open": "", "token": token(tmp_path, "token"), "backend": ""}
    newcomer = Watcher(site=site, address="198.51.100.1")

    async def come() -> list[int]:
        """What newcomers to each stream are answered, and one to a stream that nobody has watched."""
        answers = [await newcomer.ask(stream=policy, token=shown[policy]) for policy in POLICIES]
        return [*answers, await newcomer.ask(stream="other")]

    async with watching.going_on():
        await eventually(lambda: len(watching.answers) > 60)
        await site.valkey.end()
        await eventually(lambda: site.control.events("view_sync"))
        assert await come() == [204, 204, 503, 503]
        reasons = [line["reason"] for line in site.control.events("view") if line["status"] == 503]
        assert all("Valkey is silent" in reason for reason in reasons[-2:])
        until = time.monotonic() + AWAY_SECONDS
        await eventually(lambda: time.monotonic() > until)
        await site.valkey.up()
        back = time.monotonic()

        async def all_good() -> bool:
            return await come() == [204] * 4

        await eventually(all_good, BACK_SECONDS)
        again = time.monotonic() - back
        async with asyncio.timeout(BACK_SECONDS):
            while True:
                total = (await site.api("GET", "streams/token/viewers")).json().get("total")
                if total == 8:  # seven, and the newcomer
                    break
                await asyncio.sleep(0.05)
    refused = [status for _, status in watching.answers if status != 204]
    assert refused == []
    assert watching.slowest < 3
    print(
        f"{len(watching.answers)} answers to 20 viewers, all yes, the slowest in {watching.slowest:.2f} s; "
        f"newcomers to all streams let in {again:.1f} s after Valkey was back"
    )
