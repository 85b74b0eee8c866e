"""Places that hold records: one module or package a store, named after its URL scheme."""
