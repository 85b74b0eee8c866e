"""``audit cleanup`` of yuuvis: old entries of the audit trail go, by action and by tenant, as its configuration says.

The configuration, options and names of tenants are read as the original reads them; what is removed is decided,
proven and recorded as in any run.
"""

NAME = "yuuvis"
"""What the system is called."""

LINK = "commander"
"""What the original program is called; a link of that name to the program calls the drop-in."""
