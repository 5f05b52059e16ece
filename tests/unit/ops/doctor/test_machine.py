"""What is made of the machine's own words: mounts, rooms, memory, kernel messages, sysctls, clocks, GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.health.finding import Finding, Severity
from appliance.media.encode.gpu_marks import GpuMarks, Mark
from appliance.media.encode.gpus import GpuId
from appliance.ops.doctor import memory
from appliance.ops.doctor.gpu import gpu, judge_gpus, judge_marks, judge_xids
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.kernel import judge_clock, judge_files, judge_sysctls, parse_offset, parse_sysctls
from appliance.ops.doctor.memory import judge_kernel, judge_memory, judge_oom
from appliance.ops.doctor.space import Room, judge_mode, judge_mount, judge_room, what_is_there
from appliance.ops.doctor.units import Unit
from appliance.output import span
from appliance.subprocesses import Output

MEDIA = Path("/srv/hls")
MOUNTS = """\
/dev/vda1 / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw,nosuid,nodev,size=402348k,mode=755 0 0
tmpfs /srv/hls tmpfs rw,nosuid,nodev,noexec,relatime,size=6167528k,nr_inodes=200000,mode=2750 0 0
"""


def said(findings: list[Finding]) -> list[tuple[str, Severity]]:
    return [(finding.what, finding.severity) for finding in findings]


def test_the_media_root_is_a_tmpfs() -> None:
    assert judge_mount(MEDIA, MOUNTS) == []
    [gone] = judge_mount(MEDIA, MOUNTS.replace("/srv/hls", "/srv/other"))
    assert gone.what == "nothing is mounted at /srv/hls"
    assert "systemctl start srv-hls.mount" in gone.mend
    [disk] = judge_mount(MEDIA, MOUNTS + "/dev/vdb /srv/hls ext4 rw 0 0\n")
    assert (disk.what, disk.severity) == ("/srv/hls is no tmpfs", Severity.WARNING)
    assert judge_mode(MEDIA, 0o2750) == []
    assert said(judge_mode(MEDIA, 0o2700)) == [("/srv/hls is closed", Severity.CRITICAL)]
    [closed] = judge_mount(
        MEDIA, MOUNTS.replace("tmpfs rw,nosuid,nodev,noexec", "tmpfs ro,nosuid,nodev,noexec")
    )
    assert closed.what == "/srv/hls is read-only"


@pytest.mark.parametrize(
    ("free", "files_free", "expected"),
    [
        (100, 100, []),
        (11, 100, []),
        (9, 100, [("/x is nearly full", Severity.WARNING)]),
        (2, 100, [("/x is full", Severity.CRITICAL)]),
        (100, 1, [("/x is full of files", Severity.CRITICAL)]),
    ],
)
def test_room_is_left(free: int, files_free: int, expected: list[tuple[str, Severity]]) -> None:
    mib = 1 << 20
    room = Room(Path("/x"), 100 * mib, free * mib, 100, files_free)
    assert said(judge_room(room, "why", "mend")) == expected


def test_a_file_system_that_counts_no_files_is_not_full_of_them() -> None:
    assert judge_room(Room(Path("/x"), 100, 50, 0, 0), "why", "mend") == []


def test_a_strangers_file_on_the_media_root_is_named(tmp_path: Path) -> None:
    (tmp_path / "demo" / "v720").mkdir(parents=True)
    (tmp_path / "demo" / "v720" / "1.m4s").write_bytes(b"x" * 200_000)
    (tmp_path / "ballast").write_bytes(b"x" * 3_000_000)
    (tmp_path / "crumbs").mkdir()
    for number in range(30):
        (tmp_path / "crumbs" / str(number)).touch()
    said_of_it = what_is_there(tmp_path)
    assert said_of_it.startswith("the most is in: ballast (2.9 MiB, files: 1), demo (0.2 MiB, files: 3)")
    assert "crumbs (0.0 MiB, files: 31)" in said_of_it
    assert what_is_there(tmp_path / "nothing") == ""


def test_memory_is_left() -> None:
    gib = 1 << 30
    assert judge_memory(8 * gib, 4 * gib, 0, 0) == []
    assert said(judge_memory(8 * gib, gib // 4, 0, 0)) == [("memory runs out", Severity.CRITICAL)]
    assert said(judge_memory(8 * gib, 4 * gib, gib, gib * 3 // 4)) == [("the host swaps", Severity.WARNING)]


def test_what_was_killed_for_its_memory_is_named() -> None:
    unit = Unit("stream@demo.service", {"Result": "success", "ActiveEnterTimestampMonotonic": "1000000"})
    assert judge_oom(unit, 0, 7201, recent=False) == []
    [now] = judge_oom(unit, 2, 7201, recent=True)
    assert now.severity is Severity.CRITICAL
    assert now.seen == "the kernel killed 2 of its processes, the last one less than an hour ago"
    assert judge_oom(Unit("stream@demo.service", {"Result": "oom-kill"}), 0, 7201, recent=False)
    [once] = judge_oom(unit, 2, 7201, recent=False)
    assert once.severity is Severity.WARNING
    assert once.seen.endswith(f"2 of its processes since it began {span(7200)} ago, none in the last hour")
    assert "systemctl restart stream@demo.service" in once.mend


@pytest.mark.parametrize(
    ("said_of_it", "severity"), [("", Severity.WARNING), ("killed by the OOM killer", Severity.CRITICAL)]
)
async def test_a_kill_of_long_ago_is_critical_no_more(
    monkeypatch: pytest.MonkeyPatch, said_of_it: str, severity: Severity
) -> None:
    unit, host = Unit("stream@demo.service", {"ActiveState": "active"}), Host()

    async def units(_: Host) -> dict[str, Unit]:
        return {unit.name: unit}

    async def run(*command: str, **_: Any) -> Output:
        asked = "-u stream@demo.service" in " ".join(command) and "--since -1h" in " ".join(command)
        return Output(0, said_of_it if asked else "", "")

    monkeypatch.setattr(memory, "ask_units", units)
    monkeypatch.setattr(memory, "_oom_kills", lambda _: 1)
    monkeypatch.setattr(memory, "judge_memory", lambda *_: [])
    monkeypatch.setattr(host, "run", run)
    assert [finding.severity for finding in await memory.memory(host)] == [severity]


KERNEL = """\
ffmpeg invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=300
Out of memory: Killed process 12345 (ffmpeg) total-vm:1234567kB, anon-rss:987654kB, file-rss:0kB
Out of memory: Killed process 12349 (ffmpeg) total-vm:1234567kB, anon-rss:987654kB, file-rss:0kB
"""


def test_the_kernel_says_who_was_killed_and_which_disk_fails() -> None:
    assert judge_kernel("usb 1-1: new high-speed USB device\n") == []
    [killed] = judge_kernel(KERNEL)
    assert killed.seen == "the kernel killed ffmpeg in the last hour"
    [disk] = judge_kernel("blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ)\n")
    assert disk.seen == "I/O error, dev sda"


SYSCTLS = """\
# Kernel settings of a streaming host (sysctl.d(5)); `sysctl --system` loads them.

# A queue of connections
net.core.somaxconn = 16384

; another way to comment
net.ipv4.tcp_rmem = 4096 131072  16777216
"""


def test_sysctls_run_as_configured() -> None:
    wanted = parse_sysctls(SYSCTLS)
    assert wanted == {"net.core.somaxconn": "16384", "net.ipv4.tcp_rmem": "4096 131072 16777216"}
    assert judge_sysctls(wanted, wanted, Path("60-appliance.conf")) == []
    [finding] = judge_sysctls(wanted, {**wanted, "net.core.somaxconn": "128"}, Path("60-appliance.conf"))
    assert finding.seen == "net.core.somaxconn is 128, configured is 16384"


def test_open_files_run_out() -> None:
    assert judge_files("x", 79, 100) == judge_files("x", 79, -1) == []
    assert judge_files("x", 80, 100)[0].severity is Severity.WARNING
    assert judge_files("x", 95, 100)[0].severity is Severity.CRITICAL


STATUS = """\
       Server: 192.0.2.1 (0.debian.pool.ntp.org)
Poll interval: 34min 8s (min: 32s; max 34min 8s)
         Leap: normal
      Version: 4
      Stratum: 2
    Precision: 1us (-24)
Root distance: 17.897ms (max: 5s)
       Offset: OFFSET
        Delay: 15.474ms
"""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("-1.126ms", -0.001126),
        ("+2.5s", 2.5),
        ("+1min 2.5s", 62.5),
        ("-3h 1min 1s", -10_861.0),
        ("+12us", 12e-6),
    ],
)
def test_an_offset_is_read(text: str, seconds: float) -> None:
    assert parse_offset(STATUS.replace("OFFSET", text)) == pytest.approx(seconds)


def test_the_clock_is_right_or_told_of() -> None:
    good, bad = "NTP=yes\nNTPSynchronized=yes\n", "NTP=yes\nNTPSynchronized=no\n"
    assert judge_clock(good, STATUS.replace("OFFSET", "-1.126ms")) == []
    assert judge_clock(good, "") == []
    assert said(judge_clock(bad, "")) == [("the clock is not synchronised", Severity.WARNING)]
    for text, severity in (("+0.8s", Severity.WARNING), ("-1min 30s", Severity.CRITICAL)):
        assert said(judge_clock(good, STATUS.replace("OFFSET", text))) == [("the clock is wrong", severity)]


def test_gpus() -> None:
    healthy = "0, NVIDIA L4, 54, 37, 4301, 23034, 6, 0\n1, NVIDIA L4, 51, [N/A], 11, 23034, 0, [N/A]\n"
    assert judge_gpus(healthy) == []
    broken = "0, NVIDIA L4, 93, 99, 22900, 23034, 24, 3\n"
    assert [finding.what for finding in judge_gpus(broken)] == [
        "GPU 0 (NVIDIA L4) is hot",
        "GPU 0 (NVIDIA L4) has memory errors",
        "the memory of GPU 0 (NVIDIA L4) is full",
        "the encoder of GPU 0 (NVIDIA L4) is busy",
    ]


XIDS = """\
NVRM: Xid (PCI:0000:3b:00): 31, pid=79749, name=ffmpeg, Ch 0000000a, intr 00000000. MMU Fault: ENGINE NVENC0
NVRM: Xid (PCI:0000:3b:00): 31, pid=79801, name=ffmpeg, Ch 0000000a, intr 00000000. MMU Fault: ENGINE NVENC0
NVRM: GPU at PCI:0000:01:00: GPU-9e3ac2d4-0001-0001-0001-000000000001
NVRM: Xid (PCI:0000:01:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.
NVRM: GPU 0000:01:00.0: GPU has fallen off the bus.
NVRM: Xid (PCI:0000:5e:00): 119, pid=1122, name=nvidia-smi, Timeout after 6s of waiting for RPC response
NVRM: Xid (PCI:0000:5e:00): 63, pid='<unknown>', name=<unknown>, Row Remapper: New row marked for remapping
NVRM: Xid (PCI:0000:5e:00): 999, made up
"""


def test_what_the_driver_says_in_the_kernels_messages() -> None:
    """Lines of reports; the PCI addresses are made up."""
    found = {finding.what.removeprefix("the driver reports "): finding for finding in judge_xids(XIDS)}
    assert {what: (finding.seen.split(";")[0], finding.severity) for what, finding in found.items()} == {
        "Xid 31 of the GPU at 0000:3b:00": ("a program's work on it was broken off", Severity.WARNING),
        "Xid 79 of the GPU at 0000:01:00": ("it has fallen off the bus", Severity.CRITICAL),
        "Xid 119 of the GPU at 0000:5e:00": ("its firmware (GSP) does not answer", Severity.CRITICAL),
        "Xid 63 of the GPU at 0000:5e:00": (
            "bad memory was marked, to be out of use after the next boot",
            Severity.WARNING,
        ),
        "Xid 999 of the GPU at 0000:5e:00": (
            "what it means says NVIDIA's catalogue of Xid errors",
            Severity.WARNING,
        ),
    }
    assert found["Xid 31 of the GPU at 0000:3b:00"].seen.endswith("; 2 times in the last hour")
    assert judge_xids("") == []


@pytest.mark.parametrize(
    ("number", "severity"),
    [
        (48, Severity.CRITICAL),
        (63, Severity.WARNING),
        (64, Severity.CRITICAL),
        (92, Severity.WARNING),
        (94, Severity.WARNING),
        (95, Severity.CRITICAL),
    ],
)
def test_errors_of_a_gpus_memory_are_notices_or_need_somebody(number: int, severity: Severity) -> None:
    """By NVIDIA's catalogue: 63 is a row that a reset takes out of use, 92 is corrected, 94 contained."""
    [finding] = judge_xids(f"NVRM: Xid (PCI:0000:5e:00): {number}, pid='<unknown>', name=<unknown>\n")
    assert finding.severity is severity
    assert "seat" not in finding.mend
    assert "reboot" in finding.mend


def test_a_gpu_that_has_failed_its_streams() -> None:
    marks = [Mark(GpuId("GPU-1", 1), "hung", 1000.0, 1, 1060.0), Mark(None, "gone", 1000.0, 3, 1010.0)]
    assert [(finding.what, finding.seen) for finding in judge_marks(marks, 1030.0)] == [
        ("GPU 1 has failed its streams", "hung; found 1 time, first 30 s ago, tried again in 30 s"),
        ("the GPU has failed its streams", "gone; found 3 times, first 30 s ago, tried again now"),
    ]


def test_a_gpu_that_nvidia_smi_has_lost_beside_one_that_works() -> None:
    text = (
        "Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot the system\n"
        "1, NVIDIA L4, 51, [N/A], 11, 23034, 0, [N/A]\n"
    )
    [finding] = judge_gpus(text)
    assert (finding.what, finding.severity) == ("a GPU is lost", Severity.CRITICAL)
    assert "GPU0000:01:00.0" in finding.seen


async def test_a_host_without_nvidia_smi_tells_of_what_streams_have_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    host = Host(shared_directory=tmp_path)
    assert await gpu(host) == []
    GpuMarks(tmp_path).put(GpuId("GPU-0", 0), "gone")
    assert [finding.what for finding in await gpu(host)] == ["GPU 0 has failed its streams"]
