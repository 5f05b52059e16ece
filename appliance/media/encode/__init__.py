"""From messages to one fragmented MP4 byte stream for each rendition.

`source` learns what the publisher sends, from its headers (`appliance.media.codec`) and its times, on one
`clock`; `gop` keeps what a new run begins with. `ladder` says which rungs there are, `rungs` which of them
the source gets, `copying` whether the top one is the source itself, `gpus` which GPUs there are, `encoder`
which encoder works here and `encoder_memory` that it need not be asked again, `placement` which GPU the
control service gave the stream, `gpu_faults` what it means when a GPU does not encode, `gpu_marks` which of
them have failed; `planning` decides by them all, and `command` writes that as FFmpeg's arguments.
`described` is a source that nobody sends, in an operator's words. `ffmpeg` is one process, `pace` whether it
is fast enough, `thumbnails` its small pictures; `run` is one process with its source and its packager, and
`pipeline` one run after the other.
"""
