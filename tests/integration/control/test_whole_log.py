"""A Valkey whose disk was full starts again, with all that it had said yes to."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.control.conftest import Site, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from valkey.asyncio import Valkey as ValkeyClient

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a small file system is mounted by root alone")


@pytest.fixture(autouse=True)
def disk(tmp_path: Path) -> Iterator[None]:
    """All that the service and its neighbours write is on a file system of 24 MB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tests", tmp_path], check=True)
    yield
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def fill(path: Path) -> None:
    """Take what room there is."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65536)):
            pass


async def says(valkey: ValkeyClient, field: str, value: object) -> bool:
    """Whether Valkey says `value` of its log now."""
    return bool((await valkey.info("persistence"))[field] == value)


async def test_a_valkey_whose_disk_was_full_starts_again(site: Site, tmp_path: Path) -> None:
    async with site.valkey_client() as valkey:
        await valkey.bgrewriteaof()  # type: ignore[no-untyped-call]
        await eventually(lambda: says(valkey, "aof_rewrite_in_progress", 0))
        await valkey.set("after the rewrite", "kept")
        fill(tmp_path / "ballast")
        await valkey.set("half written", "x" * 100_000)
        await eventually(lambda: "cannot be written" in site.control.log.read_text())
        (tmp_path / "ballast").unlink()
        await eventually(lambda: says(valkey, "aof_last_write_status", "ok"))
        await valkey.set("behind it", "kept")
        await eventually(lambda: "written anew" in site.control.log.read_text())
    await site.valkey.end()
    await site.valkey.up()
    async with site.valkey_client() as valkey:
        assert await valkey.exists("after the rewrite", "half written", "behind it") == 3
