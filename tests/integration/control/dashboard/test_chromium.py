"""The dashboard's page in a real browser, before a real service, and what an operator does there."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from appliance.state.host_reports import HostReports
from appliance.state.valkey import State
from tests.integration.control.dashboard.conftest import NAME, PASSWORD
from tests.support import status_file
from tests.support.driven import Browser, browsing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.control.conftest import Site
    from tests.integration.control.dashboard.conftest import Front

PICTURES: Final = Path(__file__).resolve().parents[4] / ".cache" / "tests" / "dashboard"
"""Where what the browser saw is kept after the run."""

ROW: Final = "document.querySelector('#streams [data-stream=demo]')"
TOLD: Final = "document.querySelector('#told').textContent"
DIALOG: Final = "document.querySelector('dialog[open]')"
PHONE: Final = 320
"""CSS pixels: WCAG 2.2, 1.4.10."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened


class Page:
    """The browser, for tests whose other parts go on meanwhile."""

    def __init__(self, browser: Browser, front: Front) -> None:
        self.browser = browser
        self._front = front

    async def __call__(self, verb: str, *words: Any, **more: Any) -> Any:
        return await asyncio.to_thread(getattr(self.browser, verb), *words, **more)

    async def keys(self, *keys: str) -> None:
        """Press keys, and type what is longer than the name of one."""
        for key in keys:
            await self("press", key)

    async def type(self, text: str) -> None:
        """Type letter by letter."""
        await self.keys(*text)

    async def sign_in(self, **how: Any) -> None:
        """Open the page and sign in with the keyboard alone."""
        await self("open", f"{self._front.origin}/dashboard", **how)
        await self("until", "document.activeElement?.name === 'name'")
        await self.type(NAME)
        await self("press", "Tab")
        await self.type(PASSWORD)
        await self("press", "Enter")
        await self("until", f"{ROW} !== null")

    async def look(self, picture: str, width: int) -> None:
        """Nothing is wrong with it: no violation of its policy, nothing serious for axe, nothing too wide."""
        seen = await self("seen")
        assert (seen["violations"], seen["errors"]) == ([], [])
        assert all(url.startswith(self._front.origin) for url in seen["asked"])
        assert await self("evaluate", "document.documentElement.scrollWidth") <= width
        await self("picture", PICTURES / f"{picture}.png")
        assert await self("axe") == []


@pytest.fixture
def page(browser: Browser, front: Front) -> Page:
    return Page(browser, front)


@pytest.fixture
async def keep_fresh(tmp_path: Path) -> Any:
    """The stream's process goes on writing its status; what a test puts into the answer stands in it."""
    fields: dict[str, Any] = {}

    async def write() -> None:
        while True:
            status_file.put(tmp_path / "hls", {**status_file.content(time.time()), **fields})
            await asyncio.sleep(0.5)

    task = asyncio.create_task(write())
    yield fields
    task.cancel()


async def history(site: Site) -> None:
    """Another host, and what it told in the last hours, as its sampler would have."""
    state = State(site.valkey.socket, site.password)
    await HostReports(state).put(
        "edge-1", {"streams": [], "viewers": 700, "sent_kbps": 90_000, "version": "1.0", "since": time.time()}
    )
    await state.close()
    async with site.valkey_client() as valkey:
        for minutes in [*range(300, 150, -1), *range(120, -1, -1)]:  # it was away for half an hour
            viewers = round(400 + 250 * math.sin(minutes / 40) + 90 * math.sin(minutes / 7))
            row = [viewers, viewers * 130, 6000]
            sample = json.dumps({"total": row, "streams": {"demo": row}})
            position = f"{round(1000 * (time.time() - 60 * minutes))}-0"
            await valkey.xadd("appliance:history:edge-1", {"sample": sample}, id=position)


def draw(path: Path) -> None:
    """What a stream's process writes every ten seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x180",
        "-frames:v",
        "1",
        str(path),
    ]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


async def test_an_operator_sees_and_drops_a_publisher_by_keyboard(
    site: Site, front: Front, page: Page, tmp_path: Path, keep_fresh: dict[str, Any]
) -> None:
    keep_fresh["alerts"], keep_fresh["dropped_rungs"] = [], []
    publisher = await site.publish("demo")
    await asyncio.to_thread(draw, tmp_path / "hls/demo/thumbnail.jpg")
    await history(site)
    await page("open", f"{front.origin}/dashboard")
    await page("until", "document.activeElement?.name === 'name'")
    await page.type("anna")
    await page.keys("Tab", *"wrong", "Enter")
    await page("until", "document.querySelector('#signing-in .error').textContent.includes('not right')")
    assert await page("evaluate", "document.querySelector('#dashboard').hidden")
    await page("axe")

    await page.sign_in(height=1220)
    await page("until", f"{ROW}.dataset.level === 'good'")
    await page("until", f"{ROW}.querySelector('img').naturalWidth === 320")
    text = await page("evaluate", f"{ROW}.innerText")
    for part in ("demo", "Good", "x264", "6.0 Mbit/s", "720p", "0.03 s"):
        assert part in text
    # It changes by itself, and what began to ail is said once.
    keep_fresh["alerts"] = status_file.content(time.time())["alerts"]
    await page("until", f"{ROW}.dataset.level === 'warning'")
    await page("until", f"{TOLD}.startsWith('demo: ')")
    await page("until", "document.querySelectorAll('#happenings li').length >= 2")
    await page("until", "document.querySelectorAll('#hosts tbody tr').length === 2")
    await page("until", "document.querySelector('#plots svg').getAttribute('aria-label').includes('at most')")
    # A line begins where its values do, however short the stream was live.
    path = f"{ROW}.querySelector('.spark:not([hidden]) path').getAttribute('d')"
    assert (await page("evaluate", path)).startswith("M0 ")
    await page.look("wide-dark", 1280)

    # Cancel has the focus, and Escape leaves, too.
    await page("evaluate", f"{ROW}.querySelector('.actions button').focus()")
    await page("press", "Enter")
    await page("until", f"{DIALOG} !== null && document.activeElement.textContent === 'Cancel'")
    assert "it publishes without one" in await page("evaluate", f"{DIALOG}.innerText")
    await page("press", "Escape")
    await page("until", f"{DIALOG} === null")
    assert await publisher.connected(0.3)
    assert await page("evaluate", "document.activeElement.getAttribute('aria-label')") == (
        "Drop the publisher of demo"
    )
    await page("click", "#streams .actions button:nth-child(3)")
    await page("until", f"{DIALOG}?.innerText.includes('appliance streams register demo')")
    await page("press", "Escape")
    await page("evaluate", f"{ROW}.querySelector('.actions button').focus()")
    await page.keys("Enter", "Tab", "Enter")
    await page("until", f"{TOLD} === 'The publisher of demo was dropped.'")
    assert not await publisher.connected(5)
    done = [line for line in site.control.events("dashboard") if line["action"] == "drop publisher"]
    assert [line["operator"] for line in done] == [NAME]
    await page("until", f"{ROW}.querySelector('.actions button').disabled")

    await page("click", "#operator button")
    await page("until", "!document.querySelector('#signing-in').hidden")
    await page("open", f"{front.origin}/dashboard")
    await page("until", "!document.querySelector('#signing-in').hidden")


async def test_that_signing_in_goes_on_is_said(front: Front, page: Page) -> None:
    await page("open", f"{front.origin}/dashboard")
    await page("until", "document.activeElement?.name === 'name'")
    await page.type("anna")
    await page.keys("Tab", *"wrong", "Enter")
    error = "document.querySelector('#signing-in .error')"
    await page("until", f"{error}.textContent.includes('not right')")
    # An answer that takes its time: passwords are made slow to try.
    await page(
        "evaluate",
        "{ const ask = fetch; window.fetch = (...words) => new Promise((done) => { window.answer = () => "
        "{ window.fetch = ask; done(ask(...words)); }; }); }",
    )
    await page.keys(*"wrong", "Enter")
    await page("until", "document.querySelector('#signing-in button').textContent === 'Signing in …'")
    assert await page("evaluate", f"{error}.hidden"), "the refusal before it is over"
    await page("evaluate", "window.answer()")
    await page("until", "document.querySelector('#signing-in button').textContent === 'Sign in'")
    await page("until", f"!{error}.hidden")


@pytest.mark.usefixtures("keep_fresh")
async def test_a_phone_in_the_light_shows_it_all_and_revokes_a_key(site: Site, page: Page) -> None:
    await site.api("PUT", "streams/demo", {})
    key = (await site.api("POST", "streams/demo/keys", {"note": "studio"})).json()
    publisher = await site.publish(f"demo?key={key['key']}")
    await history(site)
    await page.sign_in(width=PHONE, height=640, scheme="light")
    await page("until", f"{ROW}.dataset.level === 'warning'")
    await page.look("phone-light", PHONE)
    await page("click", "#streams .actions button:nth-child(3)")
    await page("until", f"{DIALOG}?.querySelector('.keys button') !== null")
    assert "studio" in await page("evaluate", f"{DIALOG}.innerText")
    assert await page("axe") == []
    await page("click", ".keys button")
    await page("until", "document.querySelectorAll('dialog[open]').length === 2")
    await page("click", "dialog[open] .danger")
    await page("until", f"{DIALOG}.innerText.includes('was revoked')")
    assert not await publisher.connected(5)
    # The service goes and comes back: the page says so, and goes on.
    await site.control.end()
    await page("until", "document.querySelector('#connection').textContent.startsWith('Not connected')")
    await site.control.up()
    await page("until", "document.querySelector('#connection').textContent === 'Live'")
    assert (await page("seen"))["violations"] == []
