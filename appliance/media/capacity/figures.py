"""What a device was seen to carry: how much of it a work takes.

A share of 1 is all that the device was measured to encode in real time, with nothing else to do. How much
of that may be given away says the setting `admission_headroom`.
"""

from __future__ import annotations

from collections.abc import Mapping  # pydantic reads the fields' types when the module runs
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from appliance.media.encode.gpus import GpuId

if TYPE_CHECKING:
    from appliance.media.capacity.work import Work

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]

Limit = Literal["speed", "memory", "refused", "failed", "time"]
"""What ended the rise of sessions: one was too slow, the next would not fit into the host's memory, the
driver gave none more, one failed for another reason, or time was over, so that more may be carried."""


@dataclass(frozen=True, slots=True)
class Step:
    """So many sessions side by side: the speed of the slowest, and of all together, in real times."""

    sessions: Count
    slowest: Amount
    together: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuFigures:
    """x264 on the CPU. Costs are cores, which is CPU seconds for each second of media.

    `cores` is what encoding got when it had the machine to itself. `stream` is what a stream costs whatever
    is made of it (its sound, thumbnails, a copied rung); `decode` and `rungs` are for a million pixels a
    second. `source` is what was measured with, `streams` how many of it, all rungs encoded, were carried.
    `complete` is false when time was over before there were too many; `others` are the cores that other
    programs took meanwhile, which are left out of `cores`.
    """

    cores: Positive
    stream: Amount
    decode: Amount
    rungs: Mapping[str, Amount]
    source: str
    streams: Count
    complete: bool
    others: Amount = 0.0
    steps: tuple[Step, ...] = ()

    def cost(self, work: Work) -> float:
        """Returns the cores that `work` takes; a rung that was not measured costs as the dearest one."""
        dearest = max(self.rungs.values(), default=0.0)
        encoded = sum(self.rungs.get(name, dearest) * pixels for name, pixels in work.rungs.items())
        return self.stream + self.decode * work.source + encoded

    def share(self, work: Work) -> float:
        """Returns which share of the CPU `work` takes."""
        return self.cost(work) / self.cores


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuFigures:
    """The encoder of one GPU.

    `pixels` is what it encoded in real time, in millions a second, of all rungs together. `sessions` is how
    many encodes the driver let be open at once, None when it refused none. A GPU that encodes nothing has
    neither, and `reason` says why. A rung is a session. `decodes`: it decodes pictures, too; else the CPU
    does. `limit` is why there were no more; "" where an older probe has not kept it. `index` is for people.
    """

    index: Count
    uuid: str
    name: str
    pixels: Amount = 0.0
    sessions: Count | None = None
    reason: str = ""
    source: str = ""
    streams: Count = 0
    complete: bool = True
    decodes: bool = True
    limit: Limit | Literal[""] = ""
    steps: tuple[Step, ...] = field(default=())

    @property
    def id(self) -> GpuId:
        """Which GPU it is."""
        return GpuId(self.uuid, self.index)

    @property
    def encodes(self) -> bool:
        """Whether anything can be encoded on it."""
        return self.pixels > 0 and self.sessions != 0

    def share(self, work: Work) -> float:
        """Returns which share of the encoder's speed `work` takes."""
        return sum(work.rungs.values()) / self.pixels if self.encodes else 0.0
