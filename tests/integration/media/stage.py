"""A stream's session on real parts: what tests play on it, and what they see of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.package.options import PackagingOptions
from appliance.media.package.packager import Packager
from appliance.media.session import StreamSession
from appliance.secrets.keyring import Keyring
from appliance.settings import Settings
from tests.integration.media.hls import Published
from tests.integration.media.measure import Offsets, picture_against_sound

if TYPE_CHECKING:
    from tests.integration.media.conftest import Ingest

MOST_SKEW_MS = 40
"""Less than what is noticed (ITU-R BT.1359: 45 ms of sound too early), and one picture of 25 a second."""


@dataclass
class Stage:
    """One stream `demo` of one host."""

    ingest: Ingest
    root: Path
    keyring: Keyring
    source: Path | None = None
    """What was published last: its own sound may be apart from its picture."""
    _measured: dict[Path, Offsets] = field(default_factory=dict)

    @property
    def published(self) -> Published:
        return Published(self.root, "demo", self.keyring)

    @property
    def status(self) -> dict[str, Any]:
        path = self.root / "demo" / "status.json"
        status: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return status

    @asynccontextmanager
    async def session(self, *, ffmpeg: str = "ffmpeg", **settings: Any) -> AsyncIterator[asyncio.Task[None]]:
        """Runs a session until the block is left; it encodes all rungs unless `settings` say otherwise."""
        short = {"grace_seconds": 3.0, "retain_seconds": 2.0, "window_segments": 1000}
        values = {**short, "copy_source": "never", **settings}
        options = Settings(ingest_url=self.ingest.url, media_root=str(self.root), **values)
        session = StreamSession(
            "demo",
            options,
            load_ladder(ladder_path("default")),
            Packager(self.root, "demo", PackagingOptions.of(options), self.keyring),
            directory=self.root / "demo",
            play_name="demo?reader=secret",
            ffmpeg=ffmpeg,
        )
        task = asyncio.create_task(session.run())
        try:
            yield task
        finally:
            session.stop()
            async with asyncio.timeout(15):
                await task

    async def publish(self, clip: Path, *, loop: bool = False) -> asyncio.subprocess.Process:
        self.source = clip
        again = ("-stream_loop", "-1") if loop else ()
        return await self.ingest.publish("demo", "-re", *again, "-i", str(clip), "-c", "copy")

    async def until(self, reached: Callable[[], object], *, seconds: float = 25) -> float:
        """Waits until `reached` gives something true; returns how long that took."""
        begun = time.monotonic()
        while not reached():
            if time.monotonic() - begun > seconds:
                playlist = self.published.playlist("360p") or self.published.playlist("audio")
                raise AssertionError(f"not reached in {seconds} s; status {self.status}; {playlist}")
            await asyncio.sleep(0.05)
        return time.monotonic() - begun

    async def until_run(
        self, number: int, *, segments: int = 2, names: tuple[str, ...] = ("360p", "audio")
    ) -> None:
        """Waits until the renditions `names` all have `segments` segments in run `number`."""

        def reached() -> bool:
            if not set(names) <= set(self.published.renditions):
                return False
            runs = [self.published.runs(name) for name in names]
            return all(len(each) > number and len(each[number].segments) >= segments for each in runs)

        await self.until(reached)

    async def _own_offsets(self) -> Offsets:
        """Of the source, which is measured once."""
        assert self.source is not None
        if self.source not in self._measured:
            source = self.source.read_bytes()
            self._measured[self.source] = await picture_against_sound(source, source)
        return self._measured[self.source]

    async def skew(self, run: int = -1, rung: str = "360p") -> float:
        """How far sound and picture are apart, ms, beyond how far they are in the source.

        Picture is measured to the frame, which is where it was in the source; sound to the sample at which
        FFmpeg hears silence end.
        """
        published = self.published
        sound = "audio" if "audio" in published.renditions else rung
        # Read at once: the stream may be over before all is measured.
        media = published.media(rung, run), published.media(sound, run)
        offsets = await picture_against_sound(*media)
        own = await self._own_offsets()
        beyond = Offsets([offset - own.median for offset in offsets.milliseconds])
        print(
            f"picture after sound, run {run}: {beyond.worst:+.1f} ms of {len(beyond.milliseconds)} beyond "
            f"the source's {own.median:+.1f} ms"
        )
        return abs(beyond.worst)
