"""The API: who may use it, what it takes, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site


async def test_without_a_valid_token_nothing_is_told(site: Site) -> None:
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        answer = await site.http.get("/api/v1/streams", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
    for token in ("wrong", "at_000000000000_" + "a" * 43, "x" * 5000):
        assert (await site.api("GET", "streams", token=token)).status_code == 401
    assert (await site.api("GET", "streams")).json() == {"items": [], "next": None}


async def test_a_token_allows_its_scopes_until_it_is_deleted(site: Site) -> None:
    made = (await site.api("POST", "api-tokens", {"scopes": ["streams:read"]})).json()
    assert (await site.api("GET", "streams", token=made["token"])).status_code == 200
    refused = await site.api("PUT", "streams/concert", {}, token=made["token"])
    assert refused.status_code == 403
    assert refused.json()["detail"] == (
        f"the token {made['id']} lacks the scope streams:write; it has: streams:read"
    )
    assert "token" not in (await site.api("GET", "api-tokens")).json()["items"][0]
    assert (await site.api("DELETE", f"api-tokens/{made['id']}")).status_code == 204
    assert (await site.api("GET", "streams", token=made["token"])).status_code == 401
    assert made["token"] not in site.control.log.read_text()


async def test_a_body_that_is_refused_is_told_where(site: Site) -> None:
    cases = [
        ({"allow": ["nowhere"]}, "#/allow/0"),
        ({"limits": {"kbps": 0}}, "#/limits/kbps"),
        ({"limits": {"kbit": 1}}, "#/limits/kbit"),
        ({"policy": "open"}, "#/policy"),
        ({"a/b~c d": 1}, "#/a~1b~0c%20d"),
        ([], "#"),
    ]
    for body, pointer in cases:
        answer = await site.api("PUT", "streams/concert", body)
        assert answer.status_code == 422, body
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    token = {"Authorization": f"Bearer {site.admin_token}"}
    broken = await site.http.put(
        "/api/v1/streams/concert", content="{", headers={**token, "Content-Type": "application/json"}
    )
    assert [error["pointer"] for error in broken.json()["errors"]] == ["#"]
    form = await site.http.put("/api/v1/streams/concert", data={"a": "b"}, headers=token)
    assert form.status_code == 415
    long = await site.api("PUT", "streams/concert", {"allow": ["192.0.2.0/24"] * 10_000})
    assert long.status_code == 413
    assert (await site.api("PUT", "streams/a.b", {})).status_code == 404
    assert (await site.api("GET", "streams/concert")).status_code == 404


async def test_put_registers_and_replaces(site: Site) -> None:
    first = await site.api("PUT", "streams/concert", {"limits": {"kbps": 6000}})
    again = await site.api("PUT", "streams/concert", {"deny": ["192.0.2.0/24"]})
    assert (first.status_code, again.status_code) == (201, 200)
    stream = (await site.api("GET", "streams/concert")).json()
    assert stream["created_at"] == first.json()["created_at"]
    assert (stream["deny"], stream["limits"]["kbps"]) == (["192.0.2.0/24"], None)


async def test_pages_follow_each_other(site: Site) -> None:
    names = [f"s{number:02}" for number in range(25)]
    await asyncio.gather(*(site.api("PUT", f"streams/{name}", {}) for name in names))
    seen, after = [], ""
    while True:
        page = (await site.api("GET", f"streams?limit=10&after={after}")).json()
        seen += [item["name"] for item in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert seen == names
    # the last is longer than any number that Python reads
    for limit in ("0", "1001", "-1", "ten", "\u0661", "1" * 5000):
        assert (await site.api("GET", f"streams?limit={limit}")).status_code == 400
        refused = await site.api("DELETE", f"streams/s00/keys/aaaaaaaa?grace_seconds={limit}9999999")
        assert refused.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("GET", "streams?limit=2&limit=3", "limit stands there twice"),
        ("GET", "streams?limit=2&limt=3", "'limt' is unknown; allowed: after, limit"),
        ("GET", "streams/concert?limit=2", "'limit' is unknown; allowed: none"),
        ("PUT", "streams/concert?view=open", "'view' is unknown"),
        ("DELETE", "streams/concert/keys/a?grace_second=9", "allowed: grace_seconds"),
    ],
)
async def test_a_query_that_would_be_passed_over_is_refused(
    site: Site, method: str, path: str, named: str
) -> None:
    answer = await site.api(method, path, {} if method == "PUT" else None)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert named in answer.json()["detail"]
    assert (await site.api("GET", "streams/concert")).status_code == 404


async def test_a_token_is_taken_over_https_or_from_this_host_alone(site: Site) -> None:
    elsewhere = {"X-Forwarded-For": "192.0.2.7"}  # as delivery sets them
    for scheme in ({}, {"X-Forwarded-Proto": "http"}):
        refused = await site.api("GET", "streams", **elsewhere, **scheme)
        assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
        assert "plain HTTP" in refused.json()["detail"]
    assert site.control.events("api")[-1]["client_ip"] == "192.0.2.7"
    for who in (
        {**elsewhere, "X-Forwarded-Proto": "https"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"},
        {"X-Forwarded-For": "::1", "X-Forwarded-Proto": "http"},
        {},
    ):
        assert (await site.api("GET", "streams", **who)).status_code == 200, who


async def test_a_repeated_request_makes_one_key(site: Site) -> None:
    await site.api("PUT", "streams/concert", {})
    header = {"Idempotency-Key": "7d9f"}
    answers = await asyncio.gather(
        *(site.api("POST", "streams/concert/keys", {}, **header) for _ in range(5)), return_exceptions=False
    )
    good = [answer for answer in answers if answer.is_success]
    assert len({answer.json()["key"] for answer in good}) == 1
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert (await site.api("POST", "streams/concert/keys", {}, **header)).status_code == 200
    [only] = (await site.api("GET", "streams/concert/keys")).json()["items"]
    await site.api("DELETE", f"streams/concert/keys/{only['id']}")
    assert (await site.api("POST", "streams/concert/keys", {}, **header)).status_code == 409


async def test_a_repeated_request_with_another_body_is_refused(site: Site) -> None:
    """draft-ietf-httpapi-idempotency-key-header, section 2.7."""
    await site.api("PUT", "streams/concert", {})
    header, body = {"Idempotency-Key": "7d9f"}, {"expires_in_seconds": 600, "note": "camera 1"}
    made = await site.api("POST", "streams/concert/keys", body, **header)
    for other in ({}, {**body, "note": "camera 2"}, {**body, "expires_in_seconds": 601}):
        refused = await site.api("POST", "streams/concert/keys", other, **header)
        assert refused.status_code == 422, other
        assert made.json()["id"] in refused.json()["detail"]
        assert "key" not in refused.json()
    again = await site.api("POST", "streams/concert/keys", body, **header)
    assert (again.status_code, again.json()["key"]) == (200, made.json()["key"])


async def test_a_forgotten_key_does_not_come_back_with_a_repeated_request(site: Site) -> None:
    """It may have been revoked because it leaked, or because its owner may publish no more."""
    header, made = {"Idempotency-Key": "7d9f"}, []
    for _ in range(2):
        await site.api("PUT", "streams/concert", {})
        made.append((await site.api("POST", "streams/concert/keys", {}, **header)).json()["key"])
        await site.api("DELETE", "streams/concert")
    assert made[0] != made[1]


async def test_a_stream_has_so_many_keys(site: Site) -> None:
    await site.api("PUT", "streams/concert", {})
    for _ in range(50):
        assert (await site.api("POST", "streams/concert/keys", {})).status_code == 201
    assert (await site.api("POST", "streams/concert/keys", {})).status_code == 409


async def test_without_valkey_it_says_so(site: Site) -> None:
    await site.valkey.end()
    answer = await site.api("GET", "streams")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The shared state is not available at the moment"


async def test_a_token_gives_away_no_more_than_it_has(site: Site) -> None:
    spec = {"scopes": ["tokens:write", "streams:read"], "expires_in_seconds": 600}
    own = (await site.api("POST", "api-tokens", spec)).json()["token"]
    for scopes, ends, status in (
        (["streams:read"], 500, 201),
        (["tokens:write", "streams:read"], 500, 201),
        (["streams:read", "streams:write"], 500, 403),
        (["streams:read"], 700, 403),
        (["streams:read"], None, 403),
    ):
        wanted = {"scopes": scopes, "expires_in_seconds": ends}
        answer = await site.api("POST", "api-tokens", wanted, token=own)
        assert answer.status_code == status, (wanted, answer.text)
    for_ever = (await site.api("POST", "api-tokens", {"scopes": ["tokens:write"]})).json()["token"]
    assert (await site.api("POST", "api-tokens", {"scopes": ["tokens:write"]}, token=for_ever)).is_success


@pytest.mark.parametrize("path", ["streams", "bans", "api-tokens"])
async def test_the_document_describes_what_is_answered(site: Site, path: str) -> None:
    document = (await site.http.get("/api/v1/openapi.json")).json()
    operation = document["paths"][f"/api/v1/{path}"]["get"]
    reference = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    answer = (await site.api("GET", path)).json()
    assert set(schema["required"]) <= answer.keys() <= set(schema["properties"])
    assert document["servers"][0]["url"] == "/"
    for status in ("400", "401", "403", "429", "502"):
        assert "application/problem+json" in operation["responses"][status]["content"]
    assert "Retry-After" in operation["responses"]["429"]["headers"]


async def test_every_decision_stands_in_the_log_with_who_asked(site: Site) -> None:
    """What is let in and what is not, read or changed; no token of either."""
    for_whom = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}  # as delivery sets them
    foreign = "at_0123"
    assert (await site.api("GET", "streams", **for_whom)).status_code == 200
    assert (await site.api("GET", "streams", token=foreign, **for_whom)).status_code == 401
    assert (await site.api("DELETE", "api-tokens/x%0Ay")).status_code == 404
    seen = [
        {key: line.get(key) for key in ("operation", "verdict", "status", "asked_by", "client_ip")}
        for line in site.control.events("api")
    ]
    read = {"operation": "listStreams", "client_ip": "192.0.2.7"}
    assert seen == [
        {**read, "verdict": "allowed", "status": 200, "asked_by": "admin"},
        {**read, "verdict": "refused", "status": 401, "asked_by": "-"},
        {
            "operation": "deleteApiToken",
            "verdict": "refused",
            "status": 404,
            "asked_by": "admin",
            "client_ip": "127.0.0.1",
        },
    ]
    assert site.control.events("api")[-1]["reason"]
    log = site.control.log.read_text()
    assert site.admin_token not in log
    assert foreign not in log


async def test_an_address_without_an_operation_is_a_problem_too(site: Site) -> None:
    for path in ("/api/v1/nothing", "/api/v1/bans/%0A%14P%01", "/api/"):
        answer = await site.http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path
    assert (await site.http.get("/nothing")).json() == {"detail": "Not Found"}
