"""What can go wrong with the test node; each message says what to do next.

These are errors of the test tooling alone: the product's own tree is `frugal.errors`.
"""


class ClusterError(Exception):
    """The test node cannot do what was asked."""


class NotBuilt(ClusterError):
    """Kubernetes has not been built on this machine yet."""


class NotPossible(ClusterError):
    """This machine or this user cannot run what was asked."""


class NotReady(ClusterError):
    """A part of the node did not come up in time, or died."""


class CommandFailed(ClusterError):
    """A program ended with a non-zero exit status or ran out of time."""
