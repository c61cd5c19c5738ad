"""Recordings: how they come in, and how they are heard as sessions of the bulk lane."""
