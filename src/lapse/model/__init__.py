"""Frozen values without I/O: what a policy says, what a plan found, what a ledger records."""
