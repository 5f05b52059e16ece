"""The customer's backend: what it is asked, and what it is told.

Asked, before an answer is given to nginx: `decisions` puts the question with `client`, which signs it
(`signature`) and is `timed`; `breaker` keeps a backend that fails from costing every encoder its time
limit. `view_judge` asks about those who watch, once for each session; `grant` is what may come with a yes.
Told, after the fact: `deliver` brings the events (`appliance.state.event_kinds`) at least once and in order
per stream. `live_watch` looks at the streams that are live: for `ingest_alerts`, what publishers send
outside the limits, and `key_changes`, new content keys. `service` puts the parts together.
"""
