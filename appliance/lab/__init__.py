"""Real Debian hosts on one machine, for the demo and for the tests.

| module | one idea |
|---|---|
| `lab` | up, down, status: what the other parts of the project call |
| `checkout` | the folders a lab uses, its identifier and the names derived from it |
| `state` | what was made is written down before it is made |
| `image` | the cached Debian base image (`mmdebstrap`), `apt_sources` its mirrors |
| `network` | bridge, NAT and forwarding |
| `drivers`, `nspawn`, `vm` | what a driver is, and the two there are: booted container, QEMU guest |
| `guest`, `disk` | the files that make a copy of the image one host; the virtual machines' disk |
| `ssh`, `inventory` | how the hosts are reached, by a person and by Ansible |
| `processes`, `command` | finding and stopping processes, running programs |
"""
