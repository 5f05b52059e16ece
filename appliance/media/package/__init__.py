"""From fragmented MP4 to encrypted segments and playlists.

`mp4` splits a byte stream at its boxes, `track` and `fragment` read them, and `segmenter` joins fragments to
segments along the `timeline` that all renditions (`rendition`) share. `writer` puts those on disk through
`storage`, under `encryption` with the keys that `key_schedule` names; `catalogue` is what has been published,
`listing` what of it is listed, `playlist` how that is written, and `recovery` how a new process finds it
again in its `state_file`. `packager` is the room's door.
"""
