"""Drop-ins for other systems' purge commands: their configuration to a policy, their output from a report."""
