"""What H.264 and AAC say of themselves, for who encodes them and for who packages them.

`codec_config` reads the headers that a decoder begins with, and `frame_rate` names the rate that a stated or
measured one stands for.
"""
