"""Options by the names that a user types."""


def option_of(name: str) -> str:
    """Return the option of a parameter: ``--validation-file`` of validation_file."""
    return "--" + name.replace("_", "-")
