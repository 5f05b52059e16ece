"""The hosts of the inventory, looked after over SSH from the controller.

`targets` reads Ansible's inventory, `ssh_options` what it and ssh_config(5) say of the way to a host, and
`connection` goes that way, with paramiko. `session` runs commands on one host, `everywhere` on all at once,
with a time limit for each, and `progress` shows how far they are; `ask` has one command run so. `journals`
makes one of their logs, `summary` is a host in a line, `examine` is the doctor on all of them, and what only
shows between hosts.
"""
