"""What an operator does to a host as a whole, by way of several of its services.

`master_key` brings a new master key to where it is needed, and forgets old ones.
"""
