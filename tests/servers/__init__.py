"""Real servers for the tests: ``from servers.postgres import PostgresServer``."""
