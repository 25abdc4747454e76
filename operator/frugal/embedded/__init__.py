"""`frugal run`: the same loop without a cluster. Objects are files in a state folder, pods are local processes.

Nothing here decides about models or money, and nothing imitates the Kubernetes API.
"""
