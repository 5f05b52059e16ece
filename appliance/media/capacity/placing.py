"""Where a new stream is encoded: on a GPU that has room, else by the CPU if that has, else nowhere.

A GPU that decodes nothing leaves that to the CPU, which needs room for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from appliance.media.capacity.work import Work
from appliance.media.encode.gpus import GpuId
from appliance.media.encode.placement import Placement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from appliance.media.capacity.figures import CpuFigures, GpuFigures
    from appliance.media.capacity.store import Capacity
    from appliance.media.status_reading import Reading
    from appliance.settings import EncoderPreference


@dataclass(frozen=True, slots=True)
class Running:
    """A stream that counts: what it asks for, and of whom. `gpu` is None where the CPU encodes."""

    work: Work
    gpu: GpuId | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """What is taken of a device: of all it was measured to encode, a share; of its sessions, a number.

    `sessions_most` is None where nothing bounds them.
    """

    device: str
    share: float
    sessions: int = 0
    sessions_most: int | None = None


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was learnt of GPUs since they were measured.

    `failed`: those that get no stream, and why; `sessions`: how many encodes a driver would not go beyond.
    """

    failed: Mapping[GpuId, str] = field(default_factory=dict)
    sessions: Mapping[GpuId, int] = field(default_factory=dict)

    def most_sessions(self, gpu: GpuFigures) -> int | None:
        """How many encodes may be open on `gpu` at once; None where nothing bounds them."""
        bounds = [each for each in (gpu.sessions, self.sessions.get(gpu.id)) if each is not None]
        return min(bounds, default=None)


class NoRoomError(Exception):
    """No encoder of this host carries one stream more; the text says how full they are."""


_NOTHING: Final = Learnt()


def place(
    capacity: Capacity,
    running: Sequence[Running],
    work: Work,
    *,
    headroom: float,
    encoder: EncoderPreference = "auto",
    learnt: Learnt = _NOTHING,
) -> Placement:
    """Returns where `work` goes beside what is `running`. `headroom` is the share that nobody gets.

    The setting `encoder` may leave out the CPU or the GPUs, and what was `learnt` of them some GPUs. A CPU
    that was not measured, and one that encodes nothing yet, takes it whatever it costs: a stream alone that
    is too dear gives up rungs, while to refuse it would leave the host without any. Raises NoRoomError.
    """
    limit, full = 1 - headroom, []
    if encoder == "nvenc" and capacity.gpus is None:
        return Placement(None, "what the GPUs carry was not measured")
    cpu = None if capacity.cpu is None else capacity.cpu.figures
    taken = 0.0 if cpu is None else of_cpu(cpu, running, capacity).share
    if encoder != "x264":
        uses = [(of_gpu(gpu, running, learnt), gpu) for gpu in capacity.of_gpus]
        for use, gpu in sorted(uses, key=lambda pair: pair[0].share):
            decoding = 0.0 if cpu is None or gpu.decodes else cpu.share(Work(work.source))
            if gpu.id in learnt.failed:
                full.append(learnt.failed[gpu.id])
            elif use.sessions_most is not None and use.sessions + len(work.rungs) > use.sessions_most:
                full.append(
                    f"{gpu.id} has {use.sessions} of {use.sessions_most} sessions, the stream needs "
                    f"{len(work.rungs)}"
                )
            elif (wanted := gpu.share(work)) + use.share > limit:
                full.append(_full(str(gpu.id), use.share, wanted, limit))
            elif decoding and decoding + taken > limit:
                full.append(_full(f"the CPU, which decodes for {gpu.id},", taken, decoding, limit))
            else:
                return Placement(gpu.id, f"{gpu.id} has room: {use.share:.2f} of {limit:.2f} taken")
    if encoder == "nvenc" and full:
        raise NoRoomError("; ".join(full))
    instead = f" ({failed})" if (failed := "; ".join(learnt.failed.values())) else ""
    if cpu is None:
        return Placement(None, f"what the CPU carries was not measured{instead}")
    wanted = cpu.share(work)
    if wanted + taken <= limit:
        return Placement(None, f"the CPU has room: {taken:.2f} of {limit:.2f} taken{instead}")
    if all(each.gpu is not None for each in running):
        reason = f"nothing else is encoded by the CPU, of which it may take {wanted:.2f}{instead}"
        return Placement(None, reason)
    full.append(_full("the CPU", taken, wanted, limit))
    raise NoRoomError("; ".join(full))


def of_gpu(figures: GpuFigures, running: Iterable[Running], learnt: Learnt = _NOTHING) -> Use:
    """Returns what is taken of a GPU."""
    own = [each.work for each in running if each.gpu == figures.id]
    sessions = sum(len(work.rungs) for work in own)
    share = sum(figures.share(work) for work in own)
    return Use(_device(figures.id), share, sessions, learnt.most_sessions(figures))


def of_cpu(figures: CpuFigures, running: Iterable[Running], capacity: Capacity) -> Use:
    """Returns what is taken of the CPU.

    A stream on a GPU has its sound and its thumbnails made here, and its pictures decoded where that GPU of
    `capacity` does not.
    """
    leave_decoding = {gpu.id for gpu in capacity.of_gpus if not gpu.decodes}

    def here(each: Running) -> Work:
        if each.gpu is None:
            return each.work
        return Work(each.work.source) if each.gpu in leave_decoding else Work()

    works = [here(each) for each in running]
    sessions = sum(len(work.rungs) for work in works)
    return Use("cpu", sum(figures.share(work) for work in works), sessions)


def gpu_of(status: Reading, capacity: Capacity | None, what: str = "gpu") -> GpuId | None:
    """Returns the GPU that a stream's `status` names as `what`; None where it names none.

    One that encodes and has no name is the first: what FFmpeg takes when nobody tells it which.
    """
    uuid, index = status.text("encoder", what, "uuid"), status.number("encoder", what, "index")
    if uuid is not None and index is not None:
        return GpuId(uuid, int(index))
    index = status.number("encoder", what)  # as a process wrote it that began before an upgrade
    if index is None and (what != "gpu" or status.text("encoder", "family") != "nvenc"):
        return None
    gpus = () if capacity is None or capacity.gpus is None else capacity.gpus.gpus
    return next((gpu.id for gpu in gpus if gpu.index == (index or 0)), GpuId("", int(index or 0)))


def use_of(status: Reading, capacity: Capacity | None) -> Use | None:
    """Returns what a stream takes, which its process's `status` tells of; None while it encodes nothing.

    The share is 0 where it is not known, as the device was not measured.
    """
    work, family = Work.reported(status), status.text("encoder", "family")
    if work is None or family is None:
        return None
    sessions = len(work.rungs)
    if (own := gpu_of(status, capacity)) is not None:
        gpus = () if capacity is None else capacity.of_gpus
        return Use(_device(own), sum(gpu.share(work) for gpu in gpus if gpu.id == own), sessions)
    cpu = None if capacity is None else capacity.cpu
    return Use("cpu", 0.0 if cpu is None else cpu.figures.share(work), sessions)


def uses(capacity: Capacity, running: Sequence[Running], learnt: Learnt = _NOTHING) -> list[Use]:
    """Returns what is taken of every device that was measured."""
    found = [] if capacity.cpu is None else [of_cpu(capacity.cpu.figures, running, capacity)]
    return [*found, *(of_gpu(gpu, running, learnt) for gpu in capacity.of_gpus)]


def _device(gpu: GpuId) -> str:
    return f"gpu{gpu.index}"


def _full(device: str, taken: float, wanted: float, limit: float) -> str:
    return f"{device} has {taken:.2f} of {limit:.2f} taken, and the stream may take {wanted:.2f}"
