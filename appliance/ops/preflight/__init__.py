"""The checklist before a host is opened to the public: `appliance preflight`.

`planned` is a host as the inventory has it, with every template worked out. `exposure` looks at who gets in,
`secrets` at what the inventory keeps, `upkeep` at what has to go on by itself, `site` at what the hosts have
together; `table` lists them. They run inside Ansible (`playbooks/checklist.yml`), which `inventory` asks on
the controller. What a host itself can tell are checks of the doctor's (its table's CHECKLIST), which
`hosts` asks over SSH.
"""
