"""Who may watch, and who does: what delivery asks about viewers.

`endpoint` answers. It looks at the stream's `policy`, then at a view token (`tokens`; `verified` remembers
those that were good) or asks the backend (`appliance.control.backend.view_judge`). `viewer` is one session,
`session_limit` counts them, `watching` knows those of this host and which were ended. `sync` makes what is
remembered agree with Valkey every second. `issuing` gives out tokens.
"""
