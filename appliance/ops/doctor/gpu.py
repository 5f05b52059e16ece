"""The GPUs, as far as nvidia-smi, the kernel, and the streams that were encoded on them tell of them."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, critical, warning
from appliance.media.encode.gpu_marks import read_marks
from appliance.nvidia_smi import figure, query, read_gpus
from appliance.output import span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.media.encode.gpu_marks import Mark
    from appliance.ops.doctor.host import Host

_FIGURES: Final = (
    "temperature.gpu",
    "utilization.encoder",
    "memory.used",
    "memory.total",
    "encoder.stats.sessionCount",
    "ecc.errors.uncorrected.volatile.total",
)
_FIELDS: Final = ("name", *_FIGURES)
HOT_CELSIUS: Final = 87
"""As the alert GpuHot has it."""


_OTHER: Final = "what it means says NVIDIA's catalogue of Xid errors"
_CARD: Final = "journalctl -k --grep Xid; reboot, and see to its seat, power and cooling"
_MEMORY: Final = (
    "reboot, which takes bad memory out of use; nvidia-smi -q -d ROW_REMAPPER,ECC; "
    "when it comes again: another card"
)
_NOTICE: Final = (
    "nvidia-smi -q -d ROW_REMAPPER,ECC; reboot when it suits; when they become more: another card"
)
_AGAIN: Final = "journalctl -k --grep Xid; when it comes again: another driver, then another card"
_XIDS: Final = {
    **dict.fromkeys((13, 31, 45), ("a program's work on it was broken off", False, _AGAIN)),
    **dict.fromkeys((48, 64, 95), ("its memory has errors that it cannot keep apart", True, _MEMORY)),
    63: ("bad memory was marked, to be out of use after the next boot", False, _NOTICE),
    92: ("its memory has many errors, which it corrects", False, _NOTICE),
    94: ("its memory had an error, which ended one program alone", False, _NOTICE),
    **dict.fromkeys((61, 62), ("its own processor has stopped", True, _CARD)),
    **dict.fromkeys((74,), ("its NVLink has failed", True, _CARD)),
    **dict.fromkeys((79,), ("it has fallen off the bus", True, _CARD)),
    **dict.fromkeys((119, 120), ("its firmware (GSP) does not answer", True, _CARD)),
    **dict.fromkeys((154,), ("the driver wants it reset, or the host rebooted", True, _CARD)),
}
"""The driver's numbers, by NVIDIA's catalogue (docs.nvidia.com/deploy/xid-errors): what they mean, whether
the GPU is of no use until somebody acts, and what to do. After 63, 92 and 94 it goes on as before."""

_XID: Final = re.compile(r"NVRM: Xid \(PCI:([0-9A-Fa-f:.]+)\): ([0-9]{1,4})\b")
_LOST: Final = re.compile(
    r"GPU is lost|fallen off the bus|Unable to determine the device handle", re.IGNORECASE
)


async def gpu(host: Host) -> list[Finding]:
    """The GPUs: none has failed a stream; where nvidia-smi is, none is lost, hot, broken or full."""
    marks = await asyncio.to_thread(read_marks, host.shared_directory)
    words = ("journalctl", "-k", "-q", "-o", "cat", "--since", "-1h", "--grep", "NVRM: Xid")
    answer, kernel = await asyncio.gather(host.run(*query(_FIELDS)), host.run(*words))
    if answer.status == 127:
        return judge_marks(marks, time.time())
    findings = judge_xids(kernel.text)
    if answer.status and not read_gpus(answer.text, _FIELDS):
        why = "streams are encoded by the CPU, or not at all"
        mend = "dmesg | grep -i nvrm; reboot"
        findings.append(critical("the GPU does not answer", f"nvidia-smi: {answer.said}", why, mend))
    else:
        findings += judge_gpus(f"{answer.text}\n{answer.errors}")
    return findings + judge_marks(marks, time.time())


def judge_marks(marks: Iterable[Mark], now: float) -> list[Finding]:
    """The GPUs that streams have marked as failed; `now` is unix seconds."""
    return [
        warning(
            f"{mark.device} has failed its streams",
            f"{mark.reason}; found {mark.tries} time{'' if mark.tries == 1 else 's'}, first "
            f"{span(max(0.0, now - mark.since))} ago, tried again "
            f"{'now' if mark.again_at <= now else f'in {span(mark.again_at - now)}'}",
            "the CPU encodes what was encoded there, and new streams are refused when that is full",
            "nvidia-smi; journalctl -k --grep Xid; reboot when it is lost",
        )
        for mark in marks
    ]


def judge_xids(text: str) -> list[Finding]:
    """What the driver said in the kernel's messages of the last hour, `text`: each number once for a GPU."""
    findings = []
    for (device, number), count in Counter(_XID.findall(text)).items():
        what, of_no_use, mend = _XIDS.get(int(number), (_OTHER, False, _AGAIN))
        make = critical if of_no_use else warning
        findings.append(
            make(
                f"the driver reports Xid {number} of the GPU at {device}",
                f"{what}; {count} time{'' if count == 1 else 's'} in the last hour",
                "its streams went on by the CPU, or on it by another FFmpeg",
                mend,
            )
        )
    return findings


def judge_gpus(text: str) -> list[Finding]:
    """`text` as nvidia-smi prints it of the query above; what a GPU does not know is `[N/A]`."""
    findings = []
    for line in text.splitlines():
        if _LOST.search(line):
            why = "nothing is encoded on it, and nvidia-smi and the driver may hang"
            findings.append(critical("a GPU is lost", line.strip(), why, _CARD))
    for number, values in read_gpus(text, _FIELDS).items():
        model = values["name"]
        name = f"GPU {number} ({model})"
        temperature, busy, used, total, sessions, errors = (figure(values[field]) for field in _FIGURES)
        if temperature is not None and temperature > HOT_CELSIUS:
            seen, why = f"{temperature:.0f} °C; allowed are {HOT_CELSIUS}", "it slows down"
            findings.append(warning(f"{name} is hot", seen, why, "see to its fans and its air"))
        if errors:
            seen, why = f"{errors:.0f} since boot", "pictures may be broken"
            findings.append(
                critical(f"{name} has memory errors", seen, why, "replace it; until then: reboot")
            )
        if used is not None and total and used > 0.95 * total:
            seen, why = f"{used:.0f} of {total:.0f} MiB", "no further stream can be encoded on it"
            findings.append(warning(f"the memory of {name} is full", seen, why, "fewer streams; nvidia-smi"))
        if busy is not None and busy >= 98:
            seen = f"{busy:.0f} %, {sessions or 0:.0f} sessions"
            why = "streams fall behind"
            findings.append(
                warning(f"the encoder of {name} is busy", seen, why, "fewer streams or rungs on it")
            )
    return findings
