"""Views: from a value of the engine to a page for people and a result for programs. Pure, one module a topic."""
