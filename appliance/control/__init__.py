"""The control service: who may publish, who may watch, which keys open which segments."""
