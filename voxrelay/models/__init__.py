"""Model weights: the catalogue says what there is, the registry fetches, checks and hands out files."""
