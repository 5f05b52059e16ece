"""A viewer's network gets slower and fast again: hls.js goes down a rung and comes back up."""

from __future__ import annotations

from tests.support import player
from tests.support.browser import Seen, Viewer
from tests.support.encoder import Publisher, Signal
from tests.support.site import Site

SENT = Signal(width=854, height=480, rate="25")
SWITCH_SECONDS = 60.0
QUICK = {"abrEwmaFastLive": 1.0, "abrEwmaSlowLive": 3.0}
"""hls.js notices what its network is like within a few seconds, instead of 3 to 9."""


def test_a_throttled_player_goes_down_a_rung_and_back_up(site: Site, stream: str) -> None:
    with Publisher(site.rtmp(stream), SENT):
        rungs = player.wait_for(site.hls(stream), segments=3).heights
        low, high = min(rungs), max(rungs)
        needed = {height: int(rung.attributes["BANDWIDTH"]) for height, rung in rungs.items()}
        # More than the lower needs, and less than the upper.
        narrow = min(1.3 * needed[low], (needed[low] + needed[high]) / 2)
        with Viewer(site.hls(stream), QUICK) as viewer:

            def settle(height: int, since: int) -> Seen:
                """Wait until that rung has played for two seconds, as of the level switch number `since`."""

                def settled(seen: Seen) -> bool:
                    return height in seen.heights[since:] and seen.shown[-1].at > seen.levels[-1][0] + 2

                return viewer.until(f"{height} lines", settled, SWITCH_SECONDS)

            begun = settle(high, 0)
            switches = len(begun.levels)
            viewer.throttle(narrow)
            down = settle(low, switches)
            went_down = down.levels[-1][0]
            switches, pictures = len(down.levels), len(down.shown)
            viewer.throttle(None)
            up = settle(high, switches)
            print(
                f"{needed} bits/s, throttled to {narrow:.0f}: {up.heights}; stalled for {up.waited():.2f} s, "
                f"back up after {up.levels[-1][0] - went_down:.1f} s; {sorted(set(up.errors))}"
            )
    assert up.fatal == []
    assert len(up.shown) > pictures
