"""What is wrong with this host, and what mends it: `appliance doctor`.

`check` runs the checks of `table` beside each other, and puts their findings (of `appliance.health`) in the
order of causes. They look at a `host`: `space`, `memory`, `kernel` and `gpu` at the machine, `configuration`
and `encoders` at what it was told, `network` and `firewall` at ports, `units` and `rotations` at systemd,
`services`, `valkey`, `valkey_log` and `backend` at what answers, `versions` at what runs, `streams` at what
is live; `watching` plays it, by what `fetching` takes of delivery, and `playlist` and `media` make of it.
`report` is what a look came to, `summary` a few figures, `stream_path` the way of one stream.
What a host is asked before it is opened to the public: `identity`, `login`, `updates`, `capacity`, `load`,
`encoding`.
`bundle` gathers what somebody elsewhere needs to see, `scrub` takes the secrets out, and `archive` writes it.
"""
