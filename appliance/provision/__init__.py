"""What Ansible loads from us: action plugins (run on the controller) and modules (run on the hosts).

``ansible.cfg`` names the two folders; Ansible finds the files in them by their names.
"""
