"""Watching a stream as a player does, by way of this host's delivery: playlist, key, segment, pictures."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

import httpx

from appliance.control.view.issuing import Wish, issue_checked
from appliance.control.view.policy import effective
from appliance.errors import OperatorError
from appliance.media.status import State
from appliance.ops.doctor.finding import Finding, Severity, critical
from appliance.ops.doctor.host import USER_AGENT
from appliance.ops.doctor.media import decrypt, judge_media, judge_size
from appliance.ops.doctor.playlist import Media, Newest, PlaylistError, Variant, read_media, read_variants
from appliance.ops.doctor.valkey import asked
from appliance.secrets.content_keys import UnknownKeyError
from appliance.secrets.credentials import CONTENT_KEYRING, VIEW_TOKEN_KEYS
from appliance.secrets.keyring import Keyring
from appliance.secrets.token_keys import TokenKeys
from appliance.state.registry import Registry
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from appliance.media.status_reading import Reading
    from appliance.names import StreamName
    from appliance.ops.doctor.host import Host

_AT_ONCE: Final = 4
_STREAMS: Final = 6
"""So many streams are watched, drawn anew each time: a busy host has no time to decode them all."""
_DECODE_SECONDS: Final = 3.0


async def watching(host: Host) -> list[Finding]:
    """Live streams can be watched: fresh playlists, segments as promised, the right key, pictures."""
    if not host.listens("delivery") or "proxy_protocol" in host.nginx_text("delivery"):
        return []  # only its proxies can ask this host
    now = time.time()
    live = [stream for stream, status in (await host.statuses()).items() if _plays(status, now)]
    chosen = live if len(live) <= _STREAMS else random.sample(live, _STREAMS)
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(stream: StreamName) -> list[Finding]:
        async with room:
            return await Watch(host, stream).findings()

    return [finding for found in await asyncio.gather(*map(one, chosen)) for finding in found]


def _plays(status: Reading, now: float) -> bool:
    wanted = (status.text("source", "text"), status.text("media", "newest_segment"))
    return status.fresh(now) and status.text("state") == State.LIVE.value and None not in wanted


class Watch:
    """One viewer of one stream; it ends at the first thing that keeps it from watching."""

    def __init__(self, host: Host, stream: StreamName) -> None:
        self._host = host
        self._stream = stream
        self.reached = "playlist"
        """Where it got: `playlist`, `segment`, `key`, `pictures`, `end`; `refused` when it was not let in
        and that is not the doctor's to say."""
        self.refused_with = 0
        """The status that it was refused with."""

    async def findings(self) -> list[Finding]:
        """What keeps a viewer from watching, or makes it worse."""
        port = self._host.settings.delivery_port
        try:
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                timeout=3,
                trust_env=False,
                headers={"User-Agent": USER_AGENT},
            ) as http:
                return await self._watch(http)
        except httpx.HTTPError as error:
            return [self._cannot(f"port {port}: {str(error) or type(error).__name__}")]

    async def _watch(self, http: httpx.AsyncClient) -> list[Finding]:
        path, signed = self._path()
        answer = await http.get(path)
        if answer.status_code in {401, 402, 403}:
            refused = await self._refused(http, answer, signed=signed)
            if refused is not None:
                return refused
        if answer.status_code != 200:
            return [self._cannot(f"{self._shown(answer)}: status {answer.status_code}")]
        try:
            variants = read_variants(answer.text, str(answer.url))
            answers = await asyncio.gather(*(http.get(variant.url) for variant in variants))
            for one in answers:
                if one.status_code != 200:
                    return [self._cannot(f"{self._shown(one)}: status {one.status_code}")]
            media = [read_media(one.text, str(one.url)) for one in answers]
        except (PlaylistError, ValueError) as error:
            return [self._cannot(f"its playlist: {error}")]
        findings = judge_media(self._stream, media, time.time())
        if any(finding.severity is Severity.CRITICAL for finding in findings):
            return findings
        return findings + await self._look_inside(http, variants, media)

    async def _refused(
        self, http: httpx.AsyncClient, answer: httpx.Response, *, signed: bool
    ) -> list[Finding] | None:
        """What a refusal says; None when nobody was to refuse anything."""
        if signed and answer.status_code == 401 and await self._is_for_tokens():
            return [self._locked_out(f"{self._shown(answer)}: status 401")]
        if await self._is_for_others(http):
            self.reached, self.refused_with = "refused", answer.status_code
            return []
        return None

    async def _is_for_others(self, http: httpx.AsyncClient) -> bool:
        """Whether who watches is asked about, or this host itself is kept out (delivery_viewer_networks)."""
        if self._host.settings.delivery_view_auth:
            return True
        return (await http.get("/hls/doctor.m3u8")).status_code == 403

    async def _is_for_tokens(self) -> bool:
        """Whether a token of this host's is enough: not where the customer's backend decides."""
        default = self._host.settings.view_policy
        try:
            found = await asked(self._host, lambda state: Registry(state).get(self._stream))
        except (OperatorError, StateUnavailableError):
            return default == "token"  # the checks `credentials` and `valkey` say it
        if found is None:
            return default != "backend"
        return effective(found.view, found.entitlement, default) != "backend"

    def _path(self) -> tuple[str, bool]:
        """Where the stream is asked for, and whether a token that is good for a minute stands in it."""
        if not self._host.settings.delivery_view_auth:
            return f"/hls/{self._stream}.m3u8", False
        try:
            keys = TokenKeys.load(self._host.credentials / VIEW_TOKEN_KEYS)
            _, text = issue_checked(
                Wish(stream=self._stream, seconds=60), keys, now=time.time(), max_seconds=3600
            )
        except (OperatorError, ValueError):
            return f"/hls/{self._stream}.m3u8", False  # the check `credentials` says it
        return f"/hls/t/{text}/{self._stream}.m3u8", True

    def _shown(self, answer: httpx.Response) -> str:
        """The path without the token that may stand in it."""
        path = answer.url.path
        return "/hls/…/" + path.split("/", 4)[-1] if path.startswith("/hls/t/") else path

    async def _look_inside(
        self, http: httpx.AsyncClient, variants: list[Variant], media: list[Media]
    ) -> list[Finding]:
        """The newest segment of the smallest variant, down to its pictures."""
        smallest = min(range(len(variants)), key=lambda number: variants[number].bandwidth)
        newest = media[smallest].newest
        if newest is None:
            return []
        self.reached = "segment"
        answer = await http.get(newest.url)
        if answer.status_code == 404:
            return []  # it went while we looked: the playlist we have is old by now
        if answer.status_code != 200 or not answer.content:
            seen = f"{self._shown(answer)}: status {answer.status_code}, {len(answer.content)} bytes"
            return [self._cannot(seen)]
        findings = judge_size(
            self._stream, len(answer.content), newest.duration, variants[smallest].bandwidth
        )
        data = answer.content
        if newest.key_url is not None:
            self.reached = "key"
            key = await http.get(newest.key_url)
            wrong = self._judge_key(key, newest.key_url)
            if wrong is not None:
                return [*findings, wrong]
            try:
                data = decrypt(data, key.content, newest.iv)
            except ValueError:
                return [*findings, self._wrong_key("the segment cannot be decrypted with it")]
        self.reached = "pictures"
        findings += await self._decode(http, newest, data)
        if not findings:
            self.reached = "end"
        return findings

    def _judge_key(self, answer: httpx.Response, url: str) -> Finding | None:
        if answer.status_code != 200 or len(answer.content) != 16:
            return self._wrong_key(
                f"{self._shown(answer)}: status {answer.status_code}, {len(answer.content)} bytes"
            )
        kid = url.rpartition("/")[2]
        try:
            wanted = Keyring.load(self._host.credentials / CONTENT_KEYRING).derive(kid, self._stream)
        except (OperatorError, UnknownKeyError):
            return self._wrong_key(f"this host's keyring has no master key for {kid}")
        return (
            None
            if answer.content == wanted
            else self._wrong_key(f"what is answered for {kid} is another key")
        )

    def _wrong_key(self, seen: str) -> Finding:
        return critical(
            f"stream {self._stream} cannot be decrypted",
            seen,
            "players get the segments and show nothing",
            f"appliance keys list; systemctl restart appliance-control; appliance keys rotate {self._stream}",
            stream=self._stream,
        )

    async def _decode(self, http: httpx.AsyncClient, newest: Newest, data: bytes) -> list[Finding]:
        if newest.map_url is not None:
            init = await http.get(newest.map_url)
            if init.status_code != 200:
                return [self._cannot(f"{self._shown(init)}: status {init.status_code}")]
            data = init.content + data
        command = ("nice", "-n", "10", "ffmpeg", "-hide_banner", "-nostdin", "-v", "error", "-threads", "1")
        answer = await self._host.run(
            *command, "-i", "pipe:0", "-f", "null", "-", seconds=_DECODE_SECONDS, given=data
        )
        if answer.status == 124:
            return []  # a busy host: the check of FFmpeg's speed says what there is to say
        if answer.status or answer.errors.strip():
            return [
                critical(
                    f"the pictures of stream {self._stream} cannot be decoded",
                    f"FFmpeg: {answer.said}",
                    "players show broken pictures, or stop",
                    f"see what the encoder sends: appliance streams show {self._stream}; drop it: "
                    f"appliance streams drop {self._stream}",
                    stream=self._stream,
                )
            ]
        return []

    def _locked_out(self, seen: str) -> Finding:
        return critical(
            "delivery refuses this host's own view token",
            f"{seen} to a token that was signed a moment ago",
            "nobody who has a good token can watch",
            "systemctl restart appliance-control; see why: journalctl -u appliance-control --grep view -n 50",
            stream=self._stream,
        )

    def _cannot(self, seen: str) -> Finding:
        return critical(
            f"stream {self._stream} cannot be watched",
            seen,
            "its viewers see nothing",
            f"see what its parts say: appliance logs --stream {self._stream}",
            stream=self._stream,
        )
