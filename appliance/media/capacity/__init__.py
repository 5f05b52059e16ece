"""What this host's encoders carry, measured, and what of it is taken.

`work` is what a stream asks of an encoder, `figures` what a device was seen to carry and so which share of it
a work takes; `store` keeps them in a file, `machine` says which machine they hold for. They are measured by
`cpu_probe` and `gpu_probe`: `material` makes the pictures, `reference` says what a stream would make of them,
`trial` has several FFmpegs do that side by side, `rising` finds how many are too many. `placing` decides
where a new stream goes; the control service asks it (`appliance.control.admission`).
"""
