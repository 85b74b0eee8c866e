"""Contract suites and doubles, for whoever writes a store or a target. Nothing of Lapse imports them."""
