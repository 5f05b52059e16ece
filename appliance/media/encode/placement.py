"""Where a stream is to be encoded: the control service decides it when it lets the publisher in.

Asked on a host with an NVIDIA device alone: anywhere else there is one place. Whoever gets no answer chooses
by trying, as every stream does where no capacity was measured.
"""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Final

from appliance.media.encode.gpus import GpuId

log = logging.getLogger(__name__)

_SECONDS: Final = 1.0
_LARGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a stream is encoded: on a GPU, None for the CPU; and in words why."""

    gpu: GpuId | None
    reason: str

    @property
    def device(self) -> str:
        """For people: gpu0, or cpu."""
        return "cpu" if self.gpu is None else f"gpu{self.gpu.index}"


async def ask_placement(control_url: str, stream: str) -> Placement | None:
    """Returns where `stream` is placed; None when nothing says so."""
    try:
        answer = await asyncio.to_thread(_get, f"{control_url}/streams/{stream}")
        placement = json.loads(answer)["placement"]
        if placement is None:
            return None
        gpu = placement["gpu"]
        return Placement(None if gpu is None else GpuId.parse(gpu), str(placement["reason"]))
    except (OSError, HTTPException, ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("the control service does not say where to encode: %s", error)
        return None


def _get(url: str) -> bytes:
    # The setting's rule lets http:// through alone; no proxy is asked for what is on this host.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=_SECONDS) as answer:
        body: bytes = answer.read(_LARGEST)
        return body
