"""``xivo-purge-db`` and ``wazo-purge-db``: the nightly purge of a telephony server's PostgreSQL database.

The configuration files, options, log lines, plug-ins and exit codes are those of the original; what is removed
is decided, archived, proven and recorded as in any run.
"""

NAMES = ("xivo-purge-db", "wazo-purge-db")
"""What the original was called in its two eras; a link of that name to the program calls the drop-in."""
