"""What hosts share in Valkey: who publishes and watches, and who may. No media, no secrets.

`valkey` is the connection. `lease` says who publishes a stream, `registry` who may, `bans` who may not try
again, `sessions` who watches, `api_tokens` who may administer; `counters` count.
"""
