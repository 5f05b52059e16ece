"""The customer's backend: what it is asked, and what it is told.

Asked, before an answer is given to nginx: `decisions` puts the question with `client`, which signs it
(`signature`); `breaker` keeps a backend that fails from costing every encoder its time limit. `viewers` asks
about those who watch, once for each session; `grant` is what may come with a yes.
Told, after the fact: `deliver` brings the events (`appliance.state.event_kinds`; `messages` hands two of them
on) at least once and in order per stream. `ingest_alerts` looks for what publishers send outside the limits,
`key_changes` for new content keys.
`service` puts the parts together.
"""
