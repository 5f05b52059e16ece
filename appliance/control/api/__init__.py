"""`/api/v1`: what operators and the customer's backend administer, as `openapi.json` describes it.

What is administered: `streams`, their `keys` and `viewers`, `view_tokens`, `bans`, and the API's own
`tokens`. `operations` says what an operation is and answers for it, `models` what goes in and out, `paging`
how lists are cut, `bearer` who asks, `caller` from where, `problem` what an answer says when something is
wrong. `openapi` describes it all, `routes` puts it together.
"""
