"""What an operator does to a host as a whole, by way of several of its services.

`master_key` brings a new master key to where it is needed, and forgets old ones. `rotation` does so with the
other secrets, `valkey_password` with the one that Valkey itself has to know; `fleet_secrets` is what all
hosts have of them. `secret_status` says how old they are and when they are due, which `timers` asks systemd.
`stream_log` is what all parts said about one stream, `doctor` says what is wrong with a host, `fleet` looks
after many of them over SSH, and `preflight` goes through the checklist before they are opened to the public.
What those two want to know of an inventory they ask `ansible`; `runbook` writes down what all three can find.
"""
