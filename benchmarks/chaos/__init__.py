"""Faults on purpose: people speak while parts of the platform die, hang, fill up and lose their network, and nothing may be lost, doubled or changed.

``python -m benchmarks.chaos``: see ``__main__``.
"""
