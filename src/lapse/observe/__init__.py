"""Who watches a run from outside, one `Hook` a module: metrics and log lines."""
