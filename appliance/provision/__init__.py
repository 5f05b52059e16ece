"""What Ansible loads from us: action plugins (on the controller), modules and what they share (on the hosts).

``ansible.cfg`` names the three folders; Ansible finds the files in them by their names.
"""
