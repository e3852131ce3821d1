"""The reason why a function cannot be traced."""


class UntraceableError(Exception):
    """A transition cannot be traced; the message is one line that says why."""


class UntraceableNodeError(UntraceableError):
    """An operator of a transition cannot be traced; the message begins with the operator and its line."""
