"""What Lapse remembers: the ledger and its key, the journal, leases, pins and the last reports."""
