"""From messages to one fragmented MP4 byte stream for each rendition.

`source` learns what the publisher sends, from the headers that `codec_config` reads and the times that
`frame_rate` names; `gop` keeps what a new run begins with. `ladder` says which rungs there are, `rungs` which
of them the source gets, `encoder` which encoder works here, and `command` writes all that as FFmpeg's
arguments. `ffmpeg` is one process, `run` one process with its source and its packager, and `pipeline` one run
after the other.
"""
