"""The runs that are measured: what this host would make of one source, with its settings and its ladder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.errors import EX_USAGE, OperatorError
from appliance.media.encode.command import RunPlan
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.thumbnails import THUMBNAIL_SECONDS

if TYPE_CHECKING:
    from appliance.media.encode.encoder import EncoderChoice
    from appliance.media.encode.ladder import Ladder
    from appliance.media.encode.source import Source
    from appliance.settings import Settings


@dataclass(frozen=True, slots=True)
class Reference:
    """Plans of the same source: with every rung encoded, with one of them, and with nothing encoded."""

    whole: RunPlan

    @classmethod
    def of(cls, source: Source, ladder: Ladder, settings: Settings, encoder: EncoderChoice) -> Reference:
        """Returns those of `source`. Raises OperatorError when it has no pictures to encode."""
        rungs = plan_rungs(ladder, source)
        if not rungs:
            raise OperatorError("a source without pictures encodes no rung", exit_code=EX_USAGE)
        return cls(
            RunPlan(
                source=source,
                rungs=rungs,
                encoder=encoder,
                segment_seconds=settings.segment_seconds,
                part_seconds=settings.part_seconds,
                container=settings.container,
                thumbnail_seconds=THUMBNAIL_SECONDS,
                gpu_decodes=encoder.family == "nvenc",
            )
        )

    @property
    def alone(self) -> tuple[RunPlan, ...]:
        """Each rung as the only one."""
        return tuple(replace(self.whole, rungs=(rung,)) for rung in self.whole.rungs)

    @property
    def copied(self) -> RunPlan:
        """The source as the only rung, as it is."""
        return replace(self.whole, rungs=(replace(self.whole.rungs[0], copied=True),))
