"""The object store: not there, failing, full, or slow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.platform import Platform

SLOW_S = 2.0  # each way


@contextmanager
def refuse(platform: Platform, store: str) -> Iterator[None]:
    platform.links[store].refuse()
    try:
        yield
    finally:
        platform.links[store].mend()


@contextmanager
def fail(platform: Platform, store: str) -> Iterator[None]:
    platform.links[store].answer(503)
    try:
        yield
    finally:
        platform.links[store].mend()


@contextmanager
def fill(platform: Platform, store: str) -> Iterator[None]:
    platform.links[store].answer(507)
    try:
        yield
    finally:
        platform.links[store].mend()


@contextmanager
def slow(platform: Platform, store: str) -> Iterator[None]:
    platform.links[store].delay(SLOW_S)
    try:
        yield
    finally:
        platform.links[store].mend()
