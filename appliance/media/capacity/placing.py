"""Where a new stream is encoded: on a GPU that has room, else by the CPU if that has, else nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from appliance.media.capacity.work import Work

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
    gpu: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a stream goes: the index of a GPU, None for the CPU; and in words why."""

    gpu: int | None
    reason: str


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
    """What was learnt of GPUs since they were measured, by their indexes.

    `failed`: those that get no stream, and why; `sessions`: how many encodes a driver would not go beyond.
    """

    failed: Mapping[int, str] = field(default_factory=dict)
    sessions: Mapping[int, int] = field(default_factory=dict)

    def most_sessions(self, gpu: GpuFigures) -> int | None:
        """How many encodes may be open on `gpu` at once; None where nothing bounds them."""
        bounds = [each for each in (gpu.sessions, self.sessions.get(gpu.index)) if each is not None]
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
    if encoder != "x264":
        uses = [(of_gpu(gpu, running, learnt), gpu) for gpu in capacity.of_gpus]
        for use, gpu in sorted(uses, key=lambda pair: pair[0].share):
            if gpu.index in learnt.failed:
                full.append(learnt.failed[gpu.index])
            elif use.sessions_most is not None and use.sessions + len(work.rungs) > use.sessions_most:
                full.append(
                    f"GPU {gpu.index} has {use.sessions} of {use.sessions_most} sessions, the stream needs "
                    f"{len(work.rungs)}"
                )
            elif (wanted := gpu.share(work)) + use.share > limit:
                full.append(_full(f"GPU {gpu.index}", use.share, wanted, limit))
            else:
                return Placement(gpu.index, f"GPU {gpu.index} has room: {use.share:.2f} of {limit:.2f} taken")
    if encoder == "nvenc" and full:
        raise NoRoomError("; ".join(full))
    instead = f" ({failed})" if (failed := "; ".join(learnt.failed.values())) else ""
    if capacity.cpu is None:
        return Placement(None, f"what the CPU carries was not measured{instead}")
    figures = capacity.cpu.figures
    use, wanted = of_cpu(figures, running), figures.share(work)
    if wanted + use.share <= limit:
        return Placement(None, f"the CPU has room: {use.share:.2f} of {limit:.2f} taken{instead}")
    if all(each.gpu is not None for each in running):
        reason = f"nothing else is encoded by the CPU, of which it may take {wanted:.2f}{instead}"
        return Placement(None, reason)
    full.append(_full("the CPU", use.share, wanted, limit))
    raise NoRoomError("; ".join(full))


def of_gpu(figures: GpuFigures, running: Iterable[Running], learnt: Learnt = _NOTHING) -> Use:
    """Returns what is taken of a GPU."""
    own = [each.work for each in running if each.gpu == figures.index]
    sessions = sum(len(work.rungs) for work in own)
    share = sum(figures.share(work) for work in own)
    return Use(f"gpu{figures.index}", share, sessions, learnt.most_sessions(figures))


def of_cpu(figures: CpuFigures, running: Iterable[Running]) -> Use:
    """Returns what is taken of the CPU. A stream on a GPU has its sound and its thumbnails made here."""
    works = [Work() if each.gpu is not None else each.work for each in running]
    sessions = sum(len(work.rungs) for work in works)
    return Use("cpu", sum(figures.share(work) for work in works), sessions)


def use_of(status: Reading, capacity: Capacity | None) -> Use | None:
    """Returns what a stream takes, which its process's `status` tells of; None while it encodes nothing.

    The share is 0 where it is not known, as the device was not measured.
    """
    work, family = Work.reported(status), status.text("encoder", "family")
    if work is None or family is None:
        return None
    sessions = len(work.rungs)
    if family == "nvenc":
        index = int(status.number("encoder", "gpu") or 0)
        gpus = () if capacity is None else capacity.of_gpus
        share = sum(gpu.share(work) for gpu in gpus if gpu.index == index)
        return Use(f"gpu{index}", share, sessions)
    cpu = None if capacity is None else capacity.cpu
    return Use("cpu", 0.0 if cpu is None else cpu.figures.share(work), sessions)


def uses(capacity: Capacity, running: Sequence[Running], learnt: Learnt = _NOTHING) -> list[Use]:
    """Returns what is taken of every device that was measured."""
    found = [] if capacity.cpu is None else [of_cpu(capacity.cpu.figures, running)]
    return [*found, *(of_gpu(gpu, running, learnt) for gpu in capacity.of_gpus)]


def _full(device: str, taken: float, wanted: float, limit: float) -> str:
    return f"{device} has {taken:.2f} of {limit:.2f} taken, and the stream may take {wanted:.2f}"
