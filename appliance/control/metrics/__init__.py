"""`GET /metrics`: what this host knows of its streams, viewers and parts, for Prometheus.

`endpoint` answers, from a module for each thing that is told of: the `streams` by their status files, what
`ingest` receives and `delivery` sends, this service's own `requests`, the `backend`, the `state` and the
`secrets`, the `gpu`, the encoders' `capacity`, what is `configured`; all make them with
`appliance.control.metric_families`.
Names and units follow https://prometheus.io/docs/practices/naming/. A label's values are names that the code,
a ladder or a stream that was let in has; nobody outside can make more of them.
"""
