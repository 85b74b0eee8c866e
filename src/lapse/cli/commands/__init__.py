"""The commands: each parses its options, makes one call to the engine, and gives one view. No logic lives here."""
