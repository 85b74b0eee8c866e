"""Why less is removed than someone expects: each cause a small function over what was looked at once."""
