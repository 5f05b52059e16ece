"""What `appliance cpu probe` and `appliance gpu probe` have in common."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from appliance.cli.host import host_settings
from appliance.errors import EX_CONFIG, EX_NOPERM, EX_OSERR, EX_UNAVAILABLE, EX_USAGE, OperatorError
from appliance.media.capacity.machine import ffmpeg_version, ladder_mark
from appliance.media.capacity.material import Clip, make_clip
from appliance.media.capacity.store import MadeWith, MeasuredCpu, MeasuredGpus, keep, require_keepable
from appliance.media.encode.described import described_source
from appliance.media.encode.ladder import Ladder, ladder_path, load_ladder
from appliance.media.status import State
from appliance.media.status_reading import read_status, streams_on_disk
from appliance.names import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from appliance.media.encode.source import Source
    from appliance.settings import Settings

T = TypeVar("T")

SourceOption = Annotated[
    str | None,
    typer.Option(help="The source as WIDTHxHEIGHT@FPS; the setting `admission_source` when left out."),
]
LadderOption = Annotated[
    str | None, typer.Option(help="A ladder's name or its file; the host's setting when left out.")
]
StepOption = Annotated[float, typer.Option(min=1, max=60, help="Seconds that count of each step.")]
MinutesOption = Annotated[
    float, typer.Option(min=0.1, max=60, help="How long sessions become more at most; the rest is short.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Measure beside live streams, too; admission does not get that.")
]
OutputOption = Annotated[
    Path | None, typer.Option(help="Where to keep it; the setting `capacity_file` when left out.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")]
SettingsOption = Annotated[Path, typer.Option(help="Settings file.")]

_LISTED: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Probing:
    """What is measured with, and where it is kept."""

    settings: Settings
    source_name: str
    source: Source
    ladder: Ladder
    file: Path
    live: int

    @classmethod
    def of(
        cls,
        command: str,
        *,
        settings: Path,
        source: str | None,
        ladder: str | None,
        output: Path | None,
        force: bool,
    ) -> Probing:
        """Reads what the options name.

        Raises OperatorError where one is refused, streams are live and `force` is not given, or the file
        could not be written in the end.
        """
        known = host_settings(command, settings)
        text = source or known.admission_source
        try:
            what = described_source(text)
        except ValueError as error:
            raise OperatorError(f"--source: {error}", exit_code=EX_USAGE) from None
        wanted = ladder or known.ladder
        path = Path(wanted) if "/" in wanted or wanted.endswith(".yml") else ladder_path(wanted)
        file = output or Path(known.capacity_file)
        _require_ladder_file(path)
        _require_writable(file, command)
        live = _live(Path(known.media_root))
        if live and not force:
            raise _busy(live, command)
        return cls(
            settings=known,
            source_name=text,
            source=what,
            ladder=load_ladder(path),
            file=file,
            live=len(live),
        )

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A folder for what the probe makes, gone at the end."""
        with tempfile.TemporaryDirectory(prefix="appliance-probe-") as folder:
            yield Path(folder)

    async def clip(self, folder: Path, tell: Callable[[str], None]) -> Clip:
        """Makes the clip in `folder`. Raises OperatorError."""
        tell(f"a clip of {self.source_name}, to be encoded by the ladder {self.ladder.name}")
        return await make_clip(self.source, self.ladder.rungs[0].video_kbps, folder)

    def keep(self, *, cpu: MeasuredCpu | None = None, gpus: MeasuredGpus | None = None) -> str:
        """Keeps what was measured, and says in words where. Raises OperatorError when it cannot be written.

        What live streams left is not kept for admission, which would count these streams once more.
        """
        own = self.file == Path(self.settings.capacity_file)
        if own and self.live:
            return f"not kept: {self.live} live took their share; --output FILE keeps it for you"
        try:
            keep(self.file, cpu=cpu, gpus=gpus)
        except OSError as error:
            raise OperatorError(f"{self.file}: {error.strerror}", exit_code=EX_OSERR) from None
        return f"kept in {self.file}" + ("" if own else f"; admission reads {self.settings.capacity_file}")

    async def made_with(self) -> MadeWith:
        """What is measured with now."""
        return MadeWith(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            ffmpeg=await ffmpeg_version(),
            ladder=self.ladder.name,
            ladder_mark=ladder_mark(self.ladder),
        )


def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work`. SIGTERM ends it as SIGINT does: the programs that it has started end, and its folder goes.

    Raises typer.Exit then, with the status that a shell gives.
    """
    asked = asyncio.Event()

    async def run() -> T:
        task = asyncio.current_task()

        def end() -> None:
            # timeout(1) sends it twice: the second would break off the ending.
            if task is not None and not asked.is_set():
                asked.set()
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        return await work

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        tell("ended by SIGTERM; nothing is kept")
        raise typer.Exit(128 + signal.SIGTERM) from None


def tell(text: str) -> None:
    """Says how far the probe is, beside what it prints in the end."""
    typer.echo(text, err=True)


def _require_writable(file: Path, command: str) -> None:
    try:
        require_keepable(file)
    except PermissionError:
        raise OperatorError(
            f"user id {os.geteuid()} may not keep what is measured in {file}",
            exit_code=EX_NOPERM,
            hint=f"run it as root: sudo appliance {command}; or name another file: --output FILE",
        ) from None
    except OSError as error:
        raise OperatorError(
            f"what is measured cannot be kept in {file}: {error.strerror}",
            exit_code=EX_OSERR,
            hint="name another file: --output FILE",
        ) from None


def _require_ladder_file(path: Path) -> None:
    """Whoever reads a pipe waits for ever. Of one that is not there, `load_ladder` tells."""
    try:
        refused = path.exists() and not path.is_file()
        why = "it is a directory, a device or a pipe"
    except OSError as error:
        refused, why = True, str(error.strerror)
    if refused:
        raise OperatorError(
            f"the ladder {shorten(str(path))}: {why}; allowed is a regular file", exit_code=EX_CONFIG
        )


def _live(root: Path) -> list[str]:
    live = []
    for stream in streams_on_disk(root):
        status = read_status(root / stream)
        if status is not None and status.fresh(time.time()) and status.text("state") == State.LIVE.value:
            live.append(str(stream))
    return live


def _busy(live: Sequence[str], command: str) -> OperatorError:
    """Whoever encodes beside live streams takes their cores, and measures what they leave."""
    more = f" and {len(live) - _LISTED} more" if len(live) > _LISTED else ""
    return OperatorError(
        f"live: {', '.join(live[:_LISTED])}{more}; the probe would take their cores, measure the rest",
        exit_code=EX_UNAVAILABLE,
        hint=f"wait until nothing is live, or look all the same: appliance {command} --force",
    )
