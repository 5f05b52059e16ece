"""The packager behind an FFmpeg that encodes nothing: ``python -m tests.bench.live_packager CLIP ROOT``.

FFmpeg reads the clip at its own pace, over and over, and writes fragments as the ladder's command does; the
packager of this process makes the stream `live` of them below ROOT, until it is terminated.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.media.encode.command import fragments_to
from appliance.media.encode.ffmpeg import FFmpeg
from appliance.media.package.options import PackagingOptions
from appliance.media.package.packager import Packager
from appliance.media.package.parts import fragment_seconds
from appliance.media.package.rendition import AUDIO_RENDITION, Rendition
from appliance.secrets.keyring import Keyring
from appliance.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

RUNGS: Final = (("1080p", 1080, 5000), ("720p", 720, 2800), ("360p", 360, 800))
"""Name, height and kb/s of each; the clip has them in this order, and the sound."""


async def _run(clip: str, root: Path) -> None:
    options = PackagingOptions.of(Settings())
    packager = Packager(root, "live", options, Keyring.create())
    names = [name for name, _, _ in RUNGS]
    renditions = [Rendition(name, "video") for name in names] + [Rendition(AUDIO_RENDITION, "audio")]
    packager.begin(renditions, started_at=datetime.now(UTC))

    def command(outputs: Sequence[int], progress: int) -> list[str]:
        words = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", clip]
        for number, descriptor in enumerate(outputs):
            kind = f"0:v:{number}" if number < len(RUNGS) else "0:a"
            words += [
                "-map",
                kind,
                "-c",
                "copy",
                *fragments_to(descriptor, fragment_seconds(options.part_seconds)),
            ]
        return [*words, "-progress", f"pipe:{progress}"]

    ffmpeg = await FFmpeg.start(command, [*names, AUDIO_RENDITION], packager.feed)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ffmpeg.give_up, "told to end")
    await ffmpeg.ended


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], Path(sys.argv[2])))
