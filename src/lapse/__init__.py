"""Lapse: a retention engine for logs and audit trails."""

__version__ = "0.1.0"
