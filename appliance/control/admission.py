"""Whether this host can encode one stream more, as far as it was measured (`appliance.media.capacity`).

A stream counts as what its process says that it runs; until it says so, as its whole ladder for the largest
source that it may send. One whose publisher has left counts for as long as it waits for its return, so that
the return is never refused. Where nothing was measured, everybody is let in.

A GPU gets no stream while the streams' processes have it marked (`appliance.media.encode.gpu_marks`), or
while one that was sent there says that the CPU encodes it. A stream whose GPU has failed counts on the CPU,
which it may have more of then than is given away; it goes back when its publisher comes next, if the GPU has
room. A driver that refused a session although the GPU had room by what was measured (consumer cards, and
whatever else encodes there) is not asked for more than were open then, for ten minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record
from appliance.control.refusal import RefusedError
from appliance.control.troubles import Troubles
from appliance.errors import OperatorError
from appliance.media.capacity.placing import Learnt, NoRoomError, Running, Use, gpu_of, place, uses
from appliance.media.capacity.store import CapacityFile
from appliance.media.capacity.work import Work
from appliance.media.encode.described import described_source
from appliance.media.encode.encoder_memory import NVIDIA_DEVICE, SHARED_DIRECTORY
from appliance.media.encode.gpu_faults import GpuFault
from appliance.media.encode.gpu_marks import by_gpu, read_marks
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.placement import Placement
from appliance.media.encode.rungs import plan_rungs
from appliance.media.status import State as StreamState
from appliance.media.status_reading import read_status, streams_on_disk
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from appliance.media.capacity.store import Capacity
    from appliance.media.encode.gpu_marks import Mark
    from appliance.media.encode.gpus import GpuId
    from appliance.media.encode.source import Source
    from appliance.media.status_reading import Reading
    from appliance.names import StreamName
    from appliance.settings import Settings
    from appliance.state.leases import Leases
    from appliance.state.registry import Limits, Registry

_CPU: Final = Placement(None, "it was running already")

_LEARNT_S: Final = 600.0
"""How long a driver is not asked for more sessions than were open when it refused one."""


class FullError(RefusedError):
    """No encoder of this host has room; the reason says how full they are."""

    def __init__(self, reason: str) -> None:
        super().__init__(503, "No room for another stream", reason)


@dataclass(slots=True)
class _Known:
    """What is remembered of a stream that counts: what it may cost at most, its place, what it ran last.

    `missed` is the GPU that it was sent to and, it does not say why, is not encoded on; `instead_of` the one
    for which x264 stands in; `full` that this was for want of a session, from which was learnt.
    """

    assumed: Work
    placement: Placement
    ran: Work | None = None
    missed: GpuId | None = None
    instead_of: GpuId | None = None
    full: bool = False


class Admission:
    """One host's. Used from one event loop only."""

    def __init__(
        self,
        settings: Settings,
        host: str,
        leases: Leases,
        registry: Registry,
        *,
        shared: Path = SHARED_DIRECTORY,
        device: Path = NVIDIA_DEVICE,
    ) -> None:
        self._settings = settings
        self._shared = shared
        self._device = device
        self._host = host
        self._leases = leases
        self._registry = registry
        self._file = CapacityFile(Path(settings.capacity_file))
        self._troubles = Troubles("admission")
        self._said: Capacity | None = None
        self._deciding = asyncio.Lock()
        self._reserved: Counter[StreamName] = Counter()
        self._known: dict[StreamName, _Known] = {}
        self._sessions: dict[GpuId, tuple[int, float]] = {}
        self._marked: dict[GpuId | None, Mark] = {}
        self.refused = 0
        """Publishes refused since the service began."""

    @property
    def limit(self) -> float:
        """Share of what a device was measured to encode that streams may take."""
        return 1 - self._settings.admission_headroom

    def capacity(self) -> Capacity | None:
        """What this host carries; None where admission is off, or nothing of use was measured."""
        if self._settings.admission == "off":
            return None
        capacity = self._file.now()
        self._troubles(self._file.trouble)
        if capacity is not None and capacity != self._said:
            record("capacity", devices=in_words(capacity))
            self._sessions.clear()
        self._said = capacity
        return capacity

    def placement(self, stream: StreamName) -> Placement | None:
        """Where `stream` was let in to; None when nothing says so, and it finds out by trying.

        So it does beside GPUs that nobody has measured: that the CPU has room is no word against them.
        """
        known, capacity = self._known.get(stream), self.capacity()
        if known is None or capacity is None:
            return None
        untold = known.placement.gpu is None and capacity.gpus is None and self._settings.encoder != "x264"
        return None if untold and self._device.exists() else known.placement

    async def marks(self) -> list[Mark]:
        """The GPUs that have failed, as the streams' processes have marked them; changes are recorded."""
        marked = {mark.gpu: mark for mark in await asyncio.to_thread(read_marks, self._shared)}
        for gpu in marked.keys() - self._marked.keys():
            mark = marked[gpu]
            record("gpu", level=logging.WARNING, action="failed", gpu=mark.name, reason=mark.reason)
        for gpu in self._marked.keys() - marked.keys():
            record("gpu", action="works again", gpu=self._marked[gpu].name)
        self._marked = marked
        return list(marked.values())

    @contextlib.asynccontextmanager
    async def reserved(self, stream: StreamName) -> AsyncIterator[Placement | None]:
        """Keeps room for `stream` until the block is left, when its lease says that it runs.

        None where nothing was measured. Raises FullError when there is none, StateUnavailableError.
        """
        capacity = self.capacity()
        if capacity is None:
            self._known.clear()
            yield None
            return
        # One after the other: each must see the room that the one before has taken.
        async with self._deciding:
            placement = await self._decide(capacity, stream)
            self._reserved[stream] += 1
        try:
            yield placement
        finally:
            self._reserved -= Counter([stream])  # which forgets it at nought

    async def uses(self) -> list[Use] | None:
        """What is taken of each device; None where nothing was measured. Valkey may be away."""
        capacity = self.capacity()
        if capacity is None:
            return None
        try:
            async with self._deciding:
                running = await self._running()
        except StateUnavailableError:
            return None
        return uses(capacity, list(running.values()), await self._learnt(capacity))

    async def _decide(self, capacity: Capacity, stream: StreamName) -> Placement:
        running = await self._running()
        known = self._known.get(stream) if stream in running else None
        if known is not None and known.instead_of is None:
            return known.placement
        assumed = await self._assumed(stream)
        try:
            placement = place(
                capacity,
                [each for name, each in running.items() if name != stream],
                assumed if known is None else running[stream].work,
                headroom=self._settings.admission_headroom,
                encoder=self._settings.encoder,
                learnt=await self._learnt(capacity),
            )
        except NoRoomError as error:
            if known is not None:
                return known.placement
            self.refused += 1
            raise FullError(str(error)) from None
        self._known[stream] = _Known(assumed, placement)
        return placement

    async def _learnt(self, capacity: Capacity) -> Learnt:
        marks, now = await self.marks(), time.monotonic()
        missed = {
            known.missed: f"stream {stream} was sent to {known.missed}, and the CPU encodes it"
            for stream, known in self._known.items()
            if known.missed is not None
        }
        if self._settings.encoder == "nvenc":
            # A stream tries such a GPU again when that is due: none may be left to do it but the next.
            marks = [mark for mark in marks if mark.again_at > time.time()]
        failed = {**missed, **by_gpu(marks, [gpu.id for gpu in capacity.of_gpus])}
        return Learnt(failed, {gpu: most for gpu, (most, until) in self._sessions.items() if now < until})

    async def _running(self) -> dict[StreamName, Running]:
        """The streams of this host that count."""
        counting = set(self._reserved)  # before the question: what is held until then has its lease after it
        counting |= {lease.stream for lease in await self._leases.all() if lease.host == self._host}
        statuses = await asyncio.to_thread(_fresh_statuses, Path(self._settings.media_root))
        counting |= {stream for stream, status in statuses.items() if _wanted(status)}
        self._known = {stream: known for stream, known in self._known.items() if stream in counting}
        running = {}
        for stream in counting:
            known = self._known.get(stream)
            if known is None:
                known = self._known[stream] = _Known(await self._assumed(stream), _CPU)
            running[stream] = _as_running(known, statuses.get(stream), self._said)
        for stream in counting:
            self._learn(self._known[stream], statuses.get(stream), running.values())
        return running

    def _learn(self, known: _Known, status: Reading | None, running: Iterable[Running]) -> None:
        """What a driver refuses is learnt from the stream that was refused: once from each."""
        full = status is not None and status.text("encoder", "fault") == GpuFault.FULL.value
        if full and not known.full and known.instead_of is not None:
            gpu = known.instead_of
            open_now = sum(len(each.work.rungs) for each in running if each.gpu == gpu)
            self._sessions[gpu] = (open_now, time.monotonic() + _LEARNT_S)
            record("gpu", level=logging.WARNING, action="full", gpu=str(gpu.index), sessions=open_now)
        known.full = full

    async def _assumed(self, stream: StreamName) -> Work:
        """What `stream` may ask for at most, by the limits that it is registered with, and by the ladder."""
        source = described_source(self._settings.admission_source)
        registered = (await self._registry.many([stream]))[stream]
        if isinstance(registered, StateUnavailableError):
            raise registered
        if registered is not None:
            source = largest(source, registered.limits)
        try:
            ladder = await asyncio.to_thread(load_ladder, ladder_path(self._settings.ladder))
        except OperatorError:
            return Work()  # no stream starts with it, and its unit says why
        return Work.of(source, plan_rungs(ladder, source))


def in_words(capacity: Capacity) -> dict[str, str]:
    """Returns what was measured, device by device; of a GPU that gets no stream, why."""
    found = {}
    if capacity.cpu is not None:
        cpu = capacity.cpu.figures
        found["cpu"] = f"{cpu.streams} of {cpu.source}, {cpu.cores:.2f} cores"
    for gpu in capacity.gpus.gpus if capacity.gpus is not None else ():
        what = f"{gpu.streams} of {gpu.source}" if gpu.encodes else f"no stream: {gpu.reason}"
        found[f"gpu{gpu.index}"] = f"{gpu.name}: {what}"
    return found


def largest(source: Source, limits: Limits) -> Source:
    """Returns `source` with the size and the rate that `limits` name instead of its own."""
    if source.video is None:
        return source
    video = replace(
        source.video, width=limits.width or source.video.width, height=limits.height or source.video.height
    )
    fps = source.fps if limits.fps is None else Fraction(limits.fps)
    return replace(source, video=replace(video, fps=fps), fps=fps)


def _as_running(known: _Known, status: Reading | None, capacity: Capacity | None) -> Running:
    if status is not None and (work := Work.reported(status)) is not None:
        known.ran = work
        gpu = gpu_of(status, capacity)
        # One that waits for its publisher says what was; where it goes when that comes may be decided
        # already.
        live = status.text("state") == StreamState.LIVE.value
        if live:
            known.instead_of = gpu_of(status, capacity, "instead_of")
        if gpu != known.placement.gpu and (live or known.placement is _CPU):
            if gpu is None and known.instead_of is None:
                known.missed = known.placement.gpu
            known.placement = Placement(gpu, "its process says so")
    return Running(known.assumed if known.ran is None else known.ran, known.placement.gpu)


def _fresh_statuses(root: Path) -> Mapping[StreamName, Reading]:
    now = time.time()
    try:
        names: Iterable[StreamName] = streams_on_disk(root)
    except OSError:
        return {}
    read = ((name, read_status(root / name)) for name in names)
    return {name: status for name, status in read if status is not None and status.fresh(now)}


def _wanted(status: Reading) -> bool:
    """Whether a stream is live, or was and waits for its publisher."""
    state = status.text("state")
    waits = state == StreamState.WAITING.value and bool(status.number("run"))
    return state == StreamState.LIVE.value or waits
