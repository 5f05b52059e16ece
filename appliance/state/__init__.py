"""What hosts share in Valkey: who publishes and watches, who may, what the backend is told. No media.

`valkey` is the connection, `batch` what travels on it together; `whole_log` has Valkey keep what it was told
where its disk was full. `leases` say who publishes a stream, `lease`
is one of them, `publishes` those whose end is not told yet, `taken` what this process knows of them without
Valkey. `registry` has who may publish, `bans` who may not try again, `viewers` who watches, `sessions` how
often at once, `api_tokens` who may administer; `counters` count. `events` are what the backend is told,
`event_kinds` which there are, `plays` the ends of players it has to hear of, `verdicts` what it last said.
`shared_secrets` are what is rotated while services run, and what all hosts need, sealed. Of the dashboard,
`operators` are who may use it and `operator_sessions` who does, `host_reports` what hosts tell of themselves,
and `happenings` what came to pass lately.
"""
