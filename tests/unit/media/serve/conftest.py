"""A packager with its server, and a client that reads one answer at a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from appliance.media.package.edge import LiveEdge
from appliance.media.package.packager import Packager
from appliance.media.serve.server import PLAYLIST_SOCKET, PlaylistServer
from appliance.secrets.keyring import Keyring
from tests.unit.media.package.handmade import HIGH, STARTED, Mp4, pictures
from tests.unit.media.package.published import Workbench, options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass
class Answered:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Client:
    """One connection, which stays as long as the server lets it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, target: str, *, version: str = "1.1", method: str = "GET", fields: str = "") -> None:
        self.writer.write(f"{method} {target} HTTP/{version}\r\nHost: x\r\n{fields}\r\n".encode())
        await self.writer.drain()

    async def answer(self) -> Answered:
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.rstrip().split("\r\n")
            headers = dict(field.lower().split(": ", 1) for field in rest)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answered(int(line.split()[1]), headers, body)

    async def get(self, target: str) -> Answered:
        await self.send(target)
        return await self.answer()

    async def closed(self) -> bool:
        async with asyncio.timeout(10):
            return await self.reader.read(1) == b""


@dataclass
class Live:
    """A stream of one rendition that goes on by calls: four parts of a quarter of a second a segment."""

    bench: Workbench
    packager: Packager
    server: PlaylistServer
    socket: Path
    video: Mp4 = field(default_factory=pictures)
    made: int = 0

    def begin(self) -> None:
        self.packager.begin([HIGH], started_at=STARTED)
        self.packager.feed("720p", self.video.init())

    def part(self, count: int = 1) -> None:
        """The next parts; the first of each segment closes the one before."""
        for _ in range(count):
            self.packager.feed("720p", self.video.fragment(8, keyframe=self.made % 4 == 0))
            self.made += 1

    @property
    def base(self) -> str:
        return f"/{self.packager.epoch}/720p"

    def file(self, name: str = "index.m3u8") -> bytes:
        return (self.bench.directory / self.packager.epoch / "720p" / name).read_bytes()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    root = tmp_path / "hls"
    root.mkdir()
    bench = Workbench(root, Keyring.create(b"m" * 32), options(segment=1, window=6, part=0.26))
    edge = LiveEdge()
    packager = Packager(root, "demo", bench.options, bench.keyring, edge)
    server = PlaylistServer(bench.directory, edge)
    socket = tmp_path / PLAYLIST_SOCKET
    async with server.listening(socket):
        yield Live(bench, packager, server, socket)
    assert not socket.exists()
