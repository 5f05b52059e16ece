"""What a host must know and never show.

`credentials` are the files that hold it: their names, reading and replacing them; `making` makes those that
are missing, and has the rule of where a host's first ones come from. `keyring` is one of them, the
generations of master keys; `content_keys` derives from a master what opens a stream's segments. How a new
master comes to who needs it: `appliance.ops.master_key`. `stream_keys` are what encoders show; their digests
are kept. `token_keys` is another file, what view tokens are signed with; `json_file` is what it has in common
with the keyring. `webhook_secret` is one more: what requests to the customer's backend are signed with, lines
as `dated_secrets` has them. `rotating` are those that are replaced while services run, `schedule`
says by when each must have been. `passwords` are what operators show the dashboard. `moment` is how these
files write times down, `refused` what is said of one that is none.
"""
