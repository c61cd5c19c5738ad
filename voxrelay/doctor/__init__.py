"""Looks whether everything the platform needs is there and as it should be, and says in one sentence a line what to do. It changes nothing:
what it writes to try, a row in a transaction and an object, it takes back.

A check is a function that returns findings; ``sentences`` is the list of everything that can be said; ``report`` runs the checks in time.
"""
