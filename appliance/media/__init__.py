"""A live stream's way from RTMP to files: receive, encode, package, encrypt.

In the order of the flow: `rtmp`, `amf` and `flv` read the encoder's stream; `source`, `ladder`, `encoder` and
`ffmpeg` turn it into one fragmented MP4 byte stream for each rendition; `packager` cuts those with `mp4`
along one `timeline`, encrypts with `encryption` under the keys of `content_keys`, and publishes through
`storage` the files that `playlist` describes. `session` holds it all together for one stream.
"""
