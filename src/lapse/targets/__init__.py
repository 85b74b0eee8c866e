"""Archive targets: one module for each URL scheme, with its class under the name TARGET."""
