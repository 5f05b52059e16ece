"""A streaming host on this machine with a live stream on it: what `make demo` and `make down` do.

| module | one idea |
|---|---|
| `demo` | up and down: the steps in their order |
| `packages` | Debian packages of an earlier host are given to the next one |
| `site` | `playbooks/site.yml` on the host, with its progress |
| `publisher` | the encoder: FFmpeg sends a test picture or a file |
| `proof` | the stream is fetched, decrypted and decoded as a player does |
"""
