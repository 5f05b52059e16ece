"""A packager that writes for ever, to be killed; prints the next sequence number at the start of each run."""

from __future__ import annotations

import itertools
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.media.package.packager import Packager
from appliance.media.package.rendition import Rendition
from appliance.secrets.keyring import Keyring
from tests.unit.media.package.handmade import STARTED, pictures, sound
from tests.unit.media.package.published import options

if TYPE_CHECKING:
    from appliance.settings import Container


def main(root: Path, container: Container, part: float) -> None:
    wanted = options(segment=1, window=4, rotation=3, part=part, container=container)
    packager = Packager(root, "demo", wanted, Keyring.create(b"m" * 32))
    for number in itertools.count():
        packager.begin(
            [Rendition("720p", "video"), Rendition("audio", "audio")],
            started_at=STARTED + timedelta(seconds=100 * number),
        )
        print(packager.next_msn, flush=True)
        tracks = {"720p": pictures(), "audio": sound()}
        for name, mp4 in tracks.items():
            packager.feed(name, mp4.init())
        for step in range(40):
            packager.feed("720p", tracks["720p"].fragment(8, keyframe=step % 4 == 0, payload=200_000))
            packager.feed("audio", tracks["audio"].fragment(12, payload=8_000))


if __name__ == "__main__":
    main(Path(sys.argv[1]), "mpegts" if sys.argv[2] == "mpegts" else "fmp4", float(sys.argv[3]))
