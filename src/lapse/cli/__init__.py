"""The command line: each command parses, makes one call to the engine, and hands one view to the output."""
