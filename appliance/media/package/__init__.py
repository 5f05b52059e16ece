"""From fragmented MP4 to encrypted parts, segments and playlists.

`mp4` splits a byte stream at its boxes, `track` and `fragment` read them, and `segmenter` joins fragments to
segments along the `timeline` that all renditions (`rendition`) share, and cuts them into `parts`, between
`samples` where it has to (`sample_table` reads what a fragment says of them). Where segments are Transport
Streams (`mpegts`), `muxing` joins sound and pictures from their `access_units`. `writer` puts those on disk,
as long as there is `room`, under `encryption` with the keys that `key_schedule` names; `catalogue` is what
has been published, `listing` what of it is listed, `playlist` and `multivariant` how that is written,
`playlist_writer` when, `edge` what may be waited for, and `recovery` how a new process finds it again in its
`state_file`. `packager` is the room's door, with its `options`, and `run` what it does with one FFmpeg.
`needed_keys` tells others which keys the files still need, `overview` how much was published, and how long
after its `arrivals`.
"""
