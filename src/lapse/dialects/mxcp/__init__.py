"""``mxcp log-cleanup`` and the export of ``mxcp log``: the audit trail of an MXCP server, kept as its schemas say.

The site file, profiles, environment variables, output and exit codes are those of the original; what is removed is
decided, archived, proven and recorded as in any run.
"""

NAME = "mxcp"
"""What the original is called; a link of that name to the program calls the drop-in."""


def usage_of(command: str) -> str:
    """What stands after ``Usage:`` for one of its commands."""
    return f"{NAME} {command} [OPTIONS]"
