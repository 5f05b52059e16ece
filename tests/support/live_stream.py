"""A stream without an encoder: FFmpeg repeats a clip, and the real packager makes parts and playlists of it.

``python -m tests.support.live_stream CLIP ROOT SOCKET`` makes the stream `demo` below ROOT, whose packager
answers at SOCKET; the keys are those of a keyring of `MASTER`. It begins with some seconds that lie behind
it, so that there is something to go back to. Lines on standard input are what its encoder does: ``break``,
``go on``, ``end``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.media.encode.command import fragments_to
from appliance.media.encode.ffmpeg import FFmpeg
from appliance.media.package.edge import LiveEdge
from appliance.media.package.options import PackagingOptions
from appliance.media.package.packager import Packager
from appliance.media.package.parts import fragment_seconds
from appliance.media.package.rendition import AUDIO_RENDITION, Rendition
from appliance.media.serve.server import PlaylistServer
from appliance.secrets.keyring import Keyring
from appliance.settings import Settings
from tests.support.pictures import audio_source, video_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STREAM: Final = "demo"
MASTER: Final = b"m" * 32
RUNGS: Final = (("360p", 640, 360), ("180p", 320, 180))
CLIP_SECONDS: Final = 24
"""Of the clip, and so of what lies behind the stream when it begins."""


def make_clip(path: Path) -> Path:
    """Encode what is repeated: a picture for each rung, and sound."""
    words = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", video_source(640, 360, "25")]
    words += ["-f", "lavfi", "-i", audio_source(2), "-t", str(CLIP_SECONDS)]
    for number, (_, width, height) in enumerate(RUNGS):
        words += ["-map", "0:v", f"-filter:v:{number}", f"scale={width}:{height}"]
    words += ["-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-bf", "0"]
    words += ["-g", "50", "-sc_threshold", "0", "-c:a", "aac", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return path


class _Encoder:
    """FFmpeg into the packager, one run after the other."""

    def __init__(self, clip: str, packager: Packager) -> None:
        self._clip = clip
        self._packager = packager
        self._ffmpeg: FFmpeg | None = None
        self._names = [name for name, _, _ in RUNGS]
        self._seconds = fragment_seconds(PackagingOptions.of(Settings()).part_seconds)

    async def past(self) -> None:
        """All of the clip at once, as if it had been live until now."""
        await self._begin(datetime.now(UTC) - timedelta(seconds=CLIP_SECONDS), [])
        assert self._ffmpeg is not None
        await self._ffmpeg.ended
        self._packager.end_run()

    async def live(self) -> None:
        """The clip again and again, at its own pace."""
        await self._begin(datetime.now(UTC), ["-re", "-stream_loop", "-1"])

    async def stop(self) -> None:
        """The encoder goes."""
        if self._ffmpeg is not None:
            self._ffmpeg.give_up("told to end")
            await self._ffmpeg.ended
            self._packager.end_run()

    async def _begin(self, started_at: datetime, pace: list[str]) -> None:
        renditions = [Rendition(name, "video") for name in self._names] + [
            Rendition(AUDIO_RENDITION, "audio")
        ]
        self._packager.begin(renditions, started_at=started_at)

        def command(outputs: Sequence[int], progress: int) -> list[str]:
            words = ["ffmpeg", "-v", "error", *pace, "-i", self._clip]
            for number, descriptor in enumerate(outputs):
                kind = f"0:v:{number}" if number < len(RUNGS) else "0:a"
                words += ["-map", kind, "-c", "copy", *fragments_to(descriptor, self._seconds)]
            return [*words, "-progress", f"pipe:{progress}"]

        self._ffmpeg = await FFmpeg.start(command, [*self._names, AUDIO_RENDITION], self._packager.feed)


async def _run(clip: str, root: Path, socket: Path) -> None:
    edge = LiveEdge()
    packager = Packager(root, STREAM, PackagingOptions.of(Settings()), Keyring.create(MASTER), edge)
    encoder = _Encoder(clip, packager)
    loop = asyncio.get_running_loop()
    told = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    async with PlaylistServer(root / STREAM, edge).listening(socket):
        await encoder.past()
        await encoder.live()
        while line := (await told.readline()).decode().strip():
            if line == "go on":
                await encoder.live()
            else:
                await encoder.stop()
            if line == "end":
                packager.finish()
            print(line, flush=True)
        await encoder.stop()


class LiveStream:
    """The stream, from a test's side."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, what: str) -> None:
        """Say ``break``, ``go on`` or ``end``, and wait until it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == what


@contextmanager
def live_stream(clip: Path, root: Path, socket: Path) -> Iterator[LiveStream]:
    """Run the stream beside the test."""
    socket.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.support.live_stream", str(clip), str(root), str(socket)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield LiveStream(process)
        finally:
            process.communicate(timeout=20)  # the end of its input is its end


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
