"""What somebody sees of an answer, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from tests.integration.control.conftest import Site

SOMEBODY = "203.0.113.9"
INSIDE = "198.51.100.7"


def seen(answered: httpx.Response) -> tuple[int, str, list[tuple[str, str]]]:
    """All that a caller sees of an answer."""
    headers = [(name, value) for name, value in answered.headers.items() if name != "date"]
    return answered.status_code, answered.text, headers


async def costs(site: Site, question: Any) -> tuple[httpx.Response, dict[str, int]]:
    """An answer, and how often which command of Valkey was needed for it: what its time consists of."""

    async def counted() -> dict[str, int]:
        async with site.valkey_client() as valkey:
            found = await valkey.info("commandstats")
        return {name.removeprefix("cmdstat_"): row["calls"] for name, row in found.items()}

    before = await counted()
    answered = await question
    after = await counted()
    ours = {"info", "auth", "hello", "client|setinfo", "client|setname", "select", "client", "ping"}
    return answered, {
        name: after[name] - before.get(name, 0)
        for name in after.keys() - ours
        if after[name] != before.get(name, 0)
    }
