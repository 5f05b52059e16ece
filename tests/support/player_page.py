"""What tests look at on the player page, as JavaScript expressions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.support.driven import Browser

PICTURES: Final = Path(__file__).resolve().parents[2] / ".cache" / "tests" / "player"
"""Where what the browser saw is kept after the run."""

LIVE: Final = "document.querySelector('.player')?.dataset.state === 'playing'"
TITLE: Final = "document.querySelector('.notice .title').textContent"
VIDEO: Final = "document.querySelector('video')"
BEHIND: Final = "Number(/[0-9.]+/.exec(document.querySelector('.latency').textContent)[0])"
"""Seconds from encoder to screen, as the page shows them."""

FIRST_PICTURE: Final = "firstPicture / 1000"
"""Seconds from the beginning of the page's loading."""

SHOWN: Final = f"{VIDEO}.getVideoPlaybackQuality().totalVideoFrames"


def plays_on(browser: Browser, pictures: int = 12, seconds: float = 20) -> None:
    """Wait until so many more pictures are shown."""
    browser.until(LIVE, seconds)
    shown = browser.evaluate(SHOWN)
    browser.until(f"{SHOWN} > {shown + pictures} || {SHOWN} < {shown} && {SHOWN} > {pictures}", seconds)


def weight(browser: Browser) -> int:
    """Return the bytes of the page and all its files, as they came over the line, without the media."""
    return sum(each["body"] for each in browser.seen()["requests"] if "/hls/" not in each["url"])
