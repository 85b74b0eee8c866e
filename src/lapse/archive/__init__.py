"""What can be done with segments without the engine: list, verify, query and restore them."""
