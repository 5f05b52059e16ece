"""Who is let in by what was measured: what runs counts as it is, what is unknown at its dearest."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import pytest

from appliance.control.admission import Admission, FullError, largest
from appliance.media.capacity.figures import CpuFigures
from appliance.media.capacity.store import write_capacity
from appliance.media.encode.described import described_source
from appliance.media.encode.gpu_marks import GpuMarks, read_marks
from appliance.names import StreamName
from appliance.settings import Settings
from appliance.state.lease import Lease
from appliance.state.registry import Limits, RegisteredStream
from tests.support.status_file import iso, put
from tests.unit.control.conftest import Registered
from tests.unit.media.capacity.measured import capacity, gpu, gpu_id

if TYPE_CHECKING:
    from pathlib import Path

A, B, C, D = (StreamName(name) for name in "abcd")
# 720p30, every rung of the default ladder encoded, is 46.9 megapixels a second: two fit into 0.8 of this.
CPU = CpuFigures(
    cores=1.25,
    stream=0.0,
    decode=0.0,
    rungs={"720p": 0.01},
    source="1280x720@30",
    streams=2,
    complete=True,
)


@dataclass
class Held:
    """The leases of all hosts."""

    leases: list[Lease] = field(default_factory=list)

    async def all(self) -> list[Lease]:
        """As Leases has it; it takes a moment."""
        found = list(self.leases)
        await asyncio.sleep(0.01)
        return found

    def take(self, stream: StreamName, host: str = "here") -> None:
        self.leases.append(Lease.new(stream, host=host, client="1", app="live", client_ip="192.0.2.1"))


@dataclass
class Site:
    """An admission, the streams' files, the leases and the registry."""

    admission: Admission
    root: Path
    held: Held
    registered: Registered

    async def admit(self, stream: StreamName) -> str:
        """Lets a stream in, as a publish does; says where."""
        async with self.admission.reserved(stream) as placement:
            await asyncio.sleep(0)
            self.held.take(stream)
        return "anywhere" if placement is None else placement.device

    def say(self, stream: StreamName, *, state: str = "live", run: int = 1, **fields: Any) -> None:
        """What the stream's process writes: three rungs of 720p unless other ones are given."""
        rungs = [
            {"name": name, "width": width, "height": height, "fps": 30.0, "copied": copied}
            for name, width, height, copied in fields.pop("rungs", ())
        ]
        video = {"width": 1280, "height": 720, "fps": 30.0}
        put(
            self.root,
            {
                "state": state,
                "run": run,
                "rungs": rungs,
                "source": {"video": video},
                "updated": iso(time.time()),
                **fields,
            },
            stream=stream,
        )


@pytest.fixture
def given() -> dict[str, Any]:
    return {}


@pytest.fixture
def site(tmp_path: Path, given: dict[str, Any]) -> Site:
    settings = Settings(
        media_root=str(tmp_path / "hls"),
        capacity_file=str(tmp_path / "capacity.json"),
        admission_source="1280x720@30",
        **given,
    )
    write_capacity(tmp_path / "capacity.json", capacity(cpu=CPU))
    held, registered = Held(), Registered()
    admission = Admission(
        settings,
        "here",
        cast("Any", held),
        cast("Any", registered),
        shared=tmp_path,
        device=tmp_path / "nvidiactl",
    )
    return Site(admission, tmp_path / "hls", held, registered)


COPIED = (("720p", 1280, 720, True), ("360p", 640, 360, False))


async def test_as_many_as_fit_at_their_dearest(site: Site) -> None:
    assert [await site.admit(stream) for stream in (A, B)] == ["cpu", "cpu"]
    with pytest.raises(FullError, match=r"503 No room for another stream: the CPU has 0.75 of 0.80 taken"):
        await site.admit(C)
    assert site.admission.refused == 1


async def test_what_runs_counts_as_it_is(site: Site) -> None:
    for stream in (A, B):
        await site.admit(stream)
        site.say(stream, rungs=COPIED)
    assert await site.admit(C) == "cpu"
    with pytest.raises(FullError):
        await site.admit(D)
    site.say(C, rungs=COPIED)
    assert await site.admit(D) == "cpu"


async def test_many_at_once_get_no_more_than_there_is(site: Site) -> None:
    found = await asyncio.gather(*(site.admit(StreamName(f"s{n}")) for n in range(9)), return_exceptions=True)
    assert found.count("cpu") == 2
    assert sum(isinstance(each, FullError) for each in found) == 7


async def test_room_that_is_kept_is_given_back(site: Site) -> None:
    async with AsyncExitStack() as stack:
        for stream in (A, B, A):
            await stack.enter_async_context(site.admission.reserved(stream))
        with pytest.raises(FullError):
            await site.admit(C)
    assert await site.admit(C) == "cpu"


async def test_a_stream_that_waits_for_its_publisher_keeps_its_room(site: Site) -> None:
    for stream in (A, B):
        await site.admit(stream)
        site.say(stream, rungs=[("720p", 1280, 720, False), ("480p", 854, 480, False)])
    with pytest.raises(FullError):
        await site.admit(C)
    site.held.leases.clear()
    for stream in (A, B):
        site.say(stream, state="waiting")
    with pytest.raises(FullError, match=r"has 0\.6"):
        await site.admit(C)
    assert await site.admit(A) == "cpu", "its return is never refused"
    site.say(B, state="ended")
    assert await site.admit(C) == "cpu"


async def test_a_stream_on_air_that_nobody_knew_is_let_in_again(site: Site) -> None:
    """The service was restarted: what runs is known by what it says alone."""
    for stream in (A, B, C):
        site.say(stream, rungs=[("720p", 1280, 720, False)])
    site.held.take(A)
    assert await site.admit(A) == "cpu"
    with pytest.raises(FullError):
        await site.admit(D)


async def test_streams_of_other_hosts_and_of_yesterday_take_no_room(site: Site) -> None:
    for number in range(5):
        site.held.take(StreamName(f"there{number}"), host="there")
        site.say(StreamName(f"gone{number}"), updated=iso(time.time() - 60))
        site.say(StreamName(f"idle{number}"), state="waiting", run=0)
    assert [await site.admit(stream) for stream in (A, B)] == ["cpu", "cpu"]


async def test_a_registered_stream_is_known_by_its_limits(site: Site) -> None:
    small = RegisteredStream(
        name=A, created_at="2026-01-01T00:00:00+00:00", limits=Limits(width=320, height=180)
    )
    site.registered.streams = {A: small, B: small, C: small}
    found = [await site.admit(stream) for stream in (A, B, C)]
    assert found == ["cpu"] * 3
    assert await site.admit(D) == "cpu"


def test_limits_stand_for_what_they_name_alone() -> None:
    source = largest(described_source("1920x1080@30"), Limits(width=1280, fps=59.94))
    assert source.video is not None
    assert (source.video.width, source.video.height) == (1280, 1080)
    assert source.fps == source.video.fps == Fraction(59.94)


@pytest.mark.parametrize("given", [{"admission": "off"}])
async def test_admission_can_be_off(site: Site) -> None:
    assert [await site.admit(StreamName(f"s{n}")) for n in range(9)] == ["anywhere"] * 9
    assert await site.admission.uses() is None


async def test_without_a_measurement_all_are_let_in(site: Site, tmp_path: Path) -> None:
    for text in (None, "{", '{"version": 9}'):
        (tmp_path / "capacity.json").unlink(missing_ok=True)
        if text is not None:
            (tmp_path / "capacity.json").write_text(text)
        assert [await site.admit(StreamName(f"s{n}")) for n in range(4)] == ["anywhere"] * 4


async def test_gpus_first_then_the_cpu_then_nobody(site: Site, tmp_path: Path) -> None:
    write_capacity(tmp_path / "capacity.json", capacity(gpu(sessions=3), gpu(1, pixels=60.0), cpu=CPU))
    found = [await site.admit(StreamName(f"s{n}")) for n in range(4)]
    assert found == ["gpu0", "gpu1", "cpu", "cpu"]
    with pytest.raises(FullError, match=r"GPU 0 has 3 of 3 sessions.*GPU 1 has 0.78.*the CPU has 0.75"):
        await site.admit(A)
    uses = await site.admission.uses()
    assert uses is not None
    assert [(use.device, use.sessions) for use in uses] == [("cpu", 6), ("gpu0", 3), ("gpu1", 3)]


async def test_a_stream_counts_where_its_process_says_that_it_encodes(site: Site, tmp_path: Path) -> None:
    write_capacity(tmp_path / "capacity.json", capacity(gpu(), cpu=CPU))
    assert await site.admit(A) == "gpu0"
    site.say(A, rungs=COPIED, encoder={"family": "x264", "codec": "libx264", "reason": "NVENC failed"})
    await site.admission.uses()
    placement = site.admission.placement(A)
    assert placement is not None
    assert placement.gpu is None
    site.say(B, rungs=COPIED, encoder={"family": "nvenc", "gpu": asdict(gpu_id(0))})
    uses = await site.admission.uses()
    assert uses is not None
    assert [(use.device, use.sessions) for use in uses] == [("cpu", 1), ("gpu0", 1)]


async def test_a_gpu_that_is_marked_gets_no_stream_until_it_works_again(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    write_capacity(tmp_path / "capacity.json", capacity(gpu(), gpu(1, pixels=60.0), cpu=CPU))
    marks = GpuMarks(tmp_path)
    marks.put(gpu_id(0), "CUDA_ERROR_UNKNOWN")
    assert [await site.admit(stream) for stream in (A, B, C)] == ["gpu1", "cpu", "cpu"]
    placement = site.admission.placement(B)
    assert placement is not None
    assert placement.reason.endswith("(GPU 0 has failed: CUDA_ERROR_UNKNOWN)")
    with pytest.raises(FullError, match=r"GPU 0 has failed: CUDA_ERROR_UNKNOWN; GPU 1 has 0.78.*the CPU has"):
        await site.admit(D)
    assert [mark.gpu for mark in await site.admission.marks()] == [gpu_id(0)]
    marks.tried((await site.admission.marks())[0], None)
    assert await site.admit(D) == "gpu0"
    said = [vars(each)["fields"] for each in caplog.records if each.message == "gpu"]
    assert said == [
        {"action": "failed", "gpu": "0", "reason": "CUDA_ERROR_UNKNOWN"},
        {"action": "works again", "gpu": "0"},
    ]


@pytest.mark.parametrize("given", [{"encoder": "nvenc"}])
async def test_where_only_gpus_may_encode_a_marked_one_is_a_refusal(site: Site, tmp_path: Path) -> None:
    write_capacity(tmp_path / "capacity.json", capacity(gpu(), cpu=CPU))
    GpuMarks(tmp_path).put(gpu_id(0), "gone")
    with pytest.raises(FullError, match="GPU 0 has failed: gone"):
        await site.admit(A)


@pytest.mark.parametrize("given", [{"encoder": "nvenc"}, {"encoder": "auto"}])
async def test_where_only_gpus_may_encode_a_publish_tries_a_marked_one_again_when_that_is_due(
    site: Site, tmp_path: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stream is left that would do it: without this publish the host would refuse all until it boots."""
    write_capacity(tmp_path / "capacity.json", capacity(gpu(), cpu=CPU))
    GpuMarks(tmp_path).put(gpu_id(0), "gone")
    again_at = read_marks(tmp_path)[0].again_at
    monkeypatch.setattr("appliance.control.admission.time.time", lambda: again_at)
    assert await site.admit(A) == ("gpu0" if given["encoder"] == "nvenc" else "cpu")


@pytest.mark.parametrize(
    ("given", "there", "told"),
    [
        ({}, True, False),
        ({"encoder": "nvenc"}, True, False),
        ({"encoder": "x264"}, True, True),
        ({}, False, True),
    ],
)
async def test_beside_a_gpu_that_nobody_measured_a_stream_finds_out_by_trying(
    site: Site, tmp_path: Path, *, there: bool, told: bool
) -> None:
    """The CPU alone was measured, as the doctor's checklist has it: that is no word against the GPU."""
    if there:
        (tmp_path / "nvidiactl").touch()
    assert [await site.admit(stream) for stream in (A, B)] == ["cpu", "cpu"], "it counts where it may end up"
    assert (site.admission.placement(A) is not None) is told
    write_capacity(tmp_path / "capacity.json", capacity(gpu(pixels=0.0, reason="no NVENC"), cpu=CPU))
    assert site.admission.placement(A) is not None


def _stands_in(fault: str) -> dict[str, Any]:
    instead_of = asdict(gpu_id(0))
    return {"family": "x264", "codec": "libx264", "reason": "it", "instead_of": instead_of, "fault": fault}


_ENCODED = (("720p", 1280, 720, False), ("480p", 854, 480, False), ("360p", 640, 360, False))


async def test_a_stream_whose_gpu_has_failed_counts_on_the_cpu_and_returns_when_it_comes_again(
    site: Site, tmp_path: Path
) -> None:
    write_capacity(tmp_path / "capacity.json", capacity(gpu(), cpu=CPU))
    assert [await site.admit(stream) for stream in (A, B)] == ["gpu0", "gpu0"]
    GpuMarks(tmp_path).put(gpu_id(0), "gone")
    for stream in (A, B):
        site.say(stream, rungs=_ENCODED, encoder=_stands_in("lost"))
    with pytest.raises(FullError, match=r"the CPU has 0\.7"):
        await site.admit(C)
    assert await site.admit(A) == "cpu", "it comes again while the GPU is gone"
    GpuMarks(tmp_path).tried(read_marks(tmp_path)[0], None)
    assert await site.admit(C) == "gpu0", "those that stand in do not keep others away"
    site.say(A, state="waiting", rungs=_ENCODED, encoder=_stands_in("lost"))
    assert await site.admit(A) == "gpu0"
    assert await site.admit(A) == "gpu0", "whatever it said last"
    assert await site.admission.uses() is not None
    placement = site.admission.placement(A)
    assert placement is not None
    assert placement.gpu == gpu_id(0)


async def test_a_driver_that_refused_a_session_is_not_asked_for_more(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was measured to give any number: another program encodes, too."""
    write_capacity(tmp_path / "capacity.json", capacity(gpu(), cpu=CPU))
    assert [await site.admit(stream) for stream in (A, B)] == ["gpu0", "gpu0"]
    site.say(A, rungs=_ENCODED, encoder={"family": "nvenc", "gpu": asdict(gpu_id(0))})
    site.say(B, rungs=_ENCODED, encoder=_stands_in("full"))
    assert await site.admit(C) == "cpu"
    with pytest.raises(FullError, match="GPU 0 has 3 of 3 sessions, the stream needs 3"):
        await site.admit(D)
    uses = await site.admission.uses()
    assert uses is not None
    assert [(use.device, use.sessions, use.sessions_most) for use in uses] == [
        ("cpu", 6, None),
        ("gpu0", 3, 3),
    ]
    assert [vars(each)["fields"] for each in caplog.records if each.message == "gpu"] == [
        {"action": "full", "gpu": "0", "sessions": 3}
    ]
    write_capacity(tmp_path / "capacity.json", capacity(gpu(pixels=999.0), cpu=CPU))
    assert await site.admit(D) == "gpu0", "it was measured anew"


async def test_after_ten_minutes_a_driver_is_asked_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.control.admission._LEARNT_S", 0.0)
    write_capacity(tmp_path / "capacity.json", capacity(gpu(), cpu=CPU))
    assert await site.admit(A) == "gpu0"
    site.say(A, rungs=_ENCODED, encoder=_stands_in("full"))
    assert await site.admit(B) == "gpu0", "who encoded there may have ended"


async def test_where_the_cpu_encodes_what_was_sent_to_a_gpu_no_more_is_sent(
    site: Site, tmp_path: Path
) -> None:
    """Its device is gone, so its processes do not even ask where they were let in to."""
    write_capacity(tmp_path / "capacity.json", capacity(gpu(), cpu=CPU))
    assert await site.admit(A) == "gpu0"
    site.say(A, rungs=_ENCODED, encoder={"family": "x264", "codec": "libx264", "reason": "no libcuda"})
    assert await site.admit(B) == "cpu"
    with pytest.raises(FullError, match="stream a was sent to GPU 0, and the CPU encodes it; the CPU has"):
        await site.admit(C)


async def test_what_was_measured_is_said_once(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    without = gpu(name="NVIDIA H200", pixels=0.0, reason="this GPU has no NVENC (unsupported device)")
    write_capacity(tmp_path / "capacity.json", capacity(without, cpu=CPU))
    for stream in (A, B):
        await site.admit(stream)
    [said] = [each for each in caplog.records if each.message == "capacity"]
    assert vars(said)["fields"]["devices"] == {
        "cpu": "2 of 1280x720@30, 1.25 cores",
        "gpu0": "NVIDIA H200: no stream: this GPU has no NVENC (unsupported device)",
    }
