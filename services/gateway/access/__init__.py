"""Who may come in, and how much of the platform is theirs: keys, tokens, plans, limits."""
