"""What the publisher sends, as messages.

`client` plays the stream from the ingest nginx, and `reader` keeps it connected; `chunks` is the chunk stream
below it, `amf` the encoding of its commands and metadata, and `flv` what its audio and video messages hold.
"""
