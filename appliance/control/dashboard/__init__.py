"""The dashboard: what operators see of all hosts in a browser, and what they do there.

The page itself is files that delivery serves (`files/dashboard`); this package has what it asks for, below
`/dashboard/`. `service` puts it together. `signing_in` lets operators in, `cookie` is what they carry, and
`guard` asks for it with each request and keeps other sites out. `sampler` tells the other hosts of this one,
every few seconds and once a minute: `streams_now`, `host_now` and `rates` are what it looks at, `recent`
hears what the audit log says. `overview` is all hosts' together, `history` the last hours, `live` what goes
on to a browser as it happens. `actions` are what operators do: the API's own.
"""
