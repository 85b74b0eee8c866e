"""The engine: everything the command line asks for is one call here."""
