"""`appliance stream`: what `stream@ID.service` runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer

from appliance import journal
from appliance.cli.stream_name import checked_stream_name
from appliance.names import StreamName
from appliance.settings import SETTINGS_FILE, Settings

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _area() -> None:
    """One live stream."""


@app.command()
def run(
    stream: Annotated[str, typer.Argument(help="The stream's name, as it stands in its URL.")],
    config: Annotated[Path, typer.Option(help="The settings file.")] = SETTINGS_FILE,
) -> None:
    """Read a stream from the ingest nginx, encode its ladder and package it until it is over."""
    name = checked_stream_name(stream)
    journal.configure()
    asyncio.run(_run(name, Settings.load(config)))


async def _run(stream: StreamName, settings: Settings) -> None:
    from appliance.media.encode.ladder import ladder_path, load_ladder
    from appliance.media.package.edge import LiveEdge
    from appliance.media.package.options import PackagingOptions
    from appliance.media.package.packager import Packager
    from appliance.media.serve.server import PLAYLIST_SOCKET, PlaylistServer
    from appliance.media.session import StreamSession
    from appliance.media.stream_socket import listening, socket_directory
    from appliance.secrets.credentials import CONTENT_KEYRING, READER_SECRET, handed_over
    from appliance.secrets.keyring import Keyring
    from appliance.secrets.rotating import read_newest

    def play_name(secret: str) -> str:
        return f"{stream}?reader={secret}"

    def replace_reader_secret(secret: str) -> None:
        session.replace_play_name(play_name(secret))

    credentials = handed_over("stream@ID.service")
    keyring = Keyring.load(credentials / CONTENT_KEYRING) if settings.encryption == "aes-128" else None
    root = Path(settings.media_root)
    edge = LiveEdge()
    packager = Packager(root, stream, PackagingOptions.of(settings), keyring, edge)
    session = StreamSession(
        stream,
        settings,
        load_ladder(ladder_path(settings.ladder)),
        packager,
        directory=root / stream,
        play_name=play_name(read_newest(credentials, READER_SECRET)),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, session.stop)
    async with contextlib.AsyncExitStack() as door:
        room = socket_directory(stream)
        if room is not None:
            await door.enter_async_context(
                PlaylistServer(root / stream, edge).listening(room / PLAYLIST_SOCKET)
            )
            await door.enter_async_context(listening(room, packager, keyring, replace_reader_secret))
        with contextlib.suppress(asyncio.CancelledError):
            await session.run()
