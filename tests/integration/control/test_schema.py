"""The API against its own description: what schemathesis makes of the OpenAPI document is sent to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.integration.control.examples import bounded

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site

EXAMPLES: Final = 25
"""For each operation."""


async def test_every_operation_answers_as_it_is_described(site: Site) -> None:
    document = await site.get("/api/v1/openapi.json")
    # Every request has the token: what is "negative" may still be right.
    # And no schema says which texts are networks: what is "positive" may still be refused.
    bearer = {"Authorization": f"Bearer {site.admin_token}"}
    await site.api("PUT", "streams/concert", {})

    def ask() -> int:
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=site.control.url)
        asked = 0
        for result in schema.get_all_operations():
            operation = result.ok()  # type: ignore[union-attr]  # an Err has none, and fails here

            @bounded(EXAMPLES)
            @given(st.one_of(*(operation.as_strategy(mode) for mode in schemathesis.GenerationMode)))
            def answers(case: Any) -> None:
                nonlocal asked
                asked += 1
                case.call_and_validate(
                    headers=bearer, excluded_checks=[negative_data_rejection, positive_data_acceptance]
                )

            answers()
        return asked

    assert await asyncio.to_thread(ask) > 100
    assert "Traceback" not in site.control.log.read_text()
    assert not [line for line in site.control.events("api") if line["status"] >= 500]
