"""The runbook, written from the code that makes the findings: `make runbook`.

Each finding's words stand once, where it is made. `texts` reads from a function's source what an argument
may be, with names in capitals for what only a host can tell; `makers` walks from a check to the findings that
it can make; `page` writes them down, and `__main__` prints that.
"""
