"""Low-latency answers on a unix socket: playlists and parts that are asked for before they are there.

`http` reads requests and writes answers, `requests` tells what is asked for, and `server` waits for it at the
packager's live edge. Everything else of a stream is files, which nginx sends by itself.
"""
