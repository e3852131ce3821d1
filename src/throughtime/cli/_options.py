"""Names of options on the command line."""


def option_of(name: str) -> str:
    """Return the option of a parameter: ``--validation-file`` for ``validation_file``."""
    return "--" + name.replace("_", "-")
