"""A live stream's way from RTMP to files, one room after the other.

`rtmp` reads what the publisher sends, `encode` makes of it one fragmented MP4 byte stream for each rendition,
`package` cuts and encrypts those into segments and lists them in playlists, and `serve` holds requests for
what is not there yet. `session` leads one stream through the rooms for as long as it lives, and `status`
writes down where it stands, with the `alerts` of what ails it; others learn it by `status_reading`, which
like all who read those files opens a `plain_file` and nothing else. By `stream_socket` it hears its operator,
who asks through `stream_client`. Both sockets, this one and that of `serve`, are a `unix_server`. What
`encode` and `package` both read of pictures and sound is `codec`, and all write their files through
`storage`. How many streams a host encodes, and which encoder has room for one more, is `capacity`'s to say.
"""
