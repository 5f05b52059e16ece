"""What hosts share in Valkey: who publishes and who may, bans, API tokens, counters. No media, no secrets.

`valkey` is the connection. `lease` says who publishes a stream, `registry` who may, `bans` who may not try
again, `api_tokens` who may administer; `counters` count.
"""
