"""The steps of a run, as functions, in the order of the flow. No stage imports another."""
