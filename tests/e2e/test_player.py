"""The player page of a real host: it waits for the stream, plays it, and survives its encoder's reconnect."""

from __future__ import annotations

from tests.support import player
from tests.support.driven import browsing
from tests.support.encoder import Publisher, Signal
from tests.support.player_page import LIVE, PICTURES, TITLE, VIDEO, plays_on
from tests.support.site import Site

SENT = Signal(width=854, height=480, rate="25")


def test_the_page_waits_plays_switches_and_survives_a_reconnect(site: Site, stream: str) -> None:
    with browsing() as browser:
        browser.open(site.http(f"/watch/{stream}"))
        browser.until(f"{TITLE} === 'The stream has not begun'")
        with Publisher(site.rtmp(stream), SENT):
            rungs = player.wait_for(site.hls(stream), segments=1).heights
            plays_on(browser, seconds=30)
            low = min(rungs)
            browser.select(".menu[title=Quality]", f"{low}p")
            browser.until(f"{VIDEO}.videoHeight === {low}")
        browser.until(f"{TITLE} === 'The picture has stopped'")
        with Publisher(site.rtmp(stream), SENT):
            plays_on(browser, seconds=30)
            browser.picture(PICTURES / "host.png")
            seen = browser.seen()
        assert seen["violations"] == []
        assert browser.evaluate(LIVE)
