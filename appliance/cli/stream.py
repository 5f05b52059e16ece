"""`appliance stream`: what `stream@ID.service` runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from pathlib import Path
from typing import Annotated, Final

import typer

from appliance.errors import EX_CONFIG, EX_USAGE, OperatorError
from appliance.names import InvalidStreamNameError, parse_stream_name
from appliance.settings import SETTINGS_FILE, Settings

_READER_SECRET: Final = "rtmp-reader-secret"  # noqa: S105 - the name of a credential, not its value
_KEYRING: Final = "content-keyring"

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
    try:
        name = parse_stream_name(stream)
    except InvalidStreamNameError as error:
        raise OperatorError(str(error), exit_code=EX_USAGE) from None
    _log_to_journal()
    asyncio.run(_run(name, Settings.load(config)))


async def _run(stream: str, settings: Settings) -> None:
    from appliance.media.content_keys import Keyring
    from appliance.media.encode.ladder import ladder_path, load_ladder
    from appliance.media.package.packager import Packager, PackagingOptions
    from appliance.media.session import StreamSession

    credentials = _credentials_directory()
    keyring = Keyring.load(credentials / _KEYRING) if settings.encryption == "aes-128" else None
    options = PackagingOptions(
        segment_seconds=settings.segment_seconds,
        window_segments=settings.window_segments,
        rotation_seconds=settings.rotation_seconds,
        encryption=settings.encryption,
        part_seconds=settings.part_seconds,
    )
    root = Path(settings.media_root)
    session = StreamSession(
        stream,
        settings,
        load_ladder(ladder_path(settings.ladder)),
        Packager(root, stream, options, keyring),
        directory=root / stream,
        play_name=f"{stream}?reader={_reader_secret(credentials)}",
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, session.stop)
    with contextlib.suppress(asyncio.CancelledError):
        await session.run()


def _credentials_directory() -> Path:
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    if not given:
        raise OperatorError(
            "CREDENTIALS_DIRECTORY is not set, so there is neither a keyring nor the reader's secret",
            exit_code=EX_CONFIG,
            hint="start it as a unit: systemctl start stream@ID.service",
        )
    return Path(given)


def _reader_secret(credentials: Path) -> str:
    path = credentials / _READER_SECRET
    try:
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not ASCII text"
        raise OperatorError(
            f"credential {path}: {reason}", exit_code=EX_CONFIG, hint="make it: appliance credentials init"
        ) from None
    if not secret or not secret.replace("-", "").replace("_", "").isalnum():
        # It travels in an RTMP play name; `&` or `=` would make other arguments of it.
        raise OperatorError(
            f"credential {path}: allowed are letters, digits, - and _",
            exit_code=EX_CONFIG,
            hint="remove it and run: appliance credentials init",
        )
    return secret


class _JournalFormatter(logging.Formatter):
    """Puts the syslog level in front, which systemd takes off again (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        level = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        return f"<{level}>" + super().format(record).replace("\n", "\n  ")


def _log_to_journal() -> None:
    handler = logging.StreamHandler()
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
