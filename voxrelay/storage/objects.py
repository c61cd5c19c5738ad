"""Audio in an object store: one URL (``s3://``, ``gs://``, ``az://``, ``file://``), one library, the same calls.

Credentials and endpoints come from the store's own environment variables (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, GOOGLE_…, AZURE_…).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable

TRIES = 3
WITHIN = timedelta(seconds=20)
SCHEMES = ("s3", "gs", "az", "file", "memory")


def session_folder(session_id: str) -> str:
    """Where everything of a session lies."""
    return f"sessions/{session_id}"


class ObjectStore:
    """Thread-safe. An object appears whole or not at all; writing a name again replaces it.

    Every call raises ``Unavailable`` when the store does not answer, refuses, or is full.
    """

    def __init__(self, url: str) -> None:
        """Raises ``EngineUnusable`` for an address that is none, or a folder that cannot be made."""
        scheme = urlsplit(url).scheme
        if scheme not in SCHEMES:
            raise EngineUnusable(f"The object store must be one of {', '.join(f'{name}://' for name in SCHEMES[:4])}: set VOXRELAY_OBJECT_STORE_URL.")
        try:
            if scheme == "file":
                Path(unquote(urlsplit(url).path)).mkdir(parents=True, exist_ok=True)
                self._store: Any = from_url(url)
            elif scheme == "memory":
                self._store = from_url(url)
            else:
                options: dict[str, Any] = {"client_options": {"timeout": WITHIN, "allow_http": True}}
                retry = {"max_retries": TRIES, "retry_timeout": WITHIN}
                self._store = from_url(url, retry_config=retry, **options)  # type: ignore[call-overload]  # typed by store, we take any
        except (BaseError, OSError, ValueError) as error:
            raise EngineUnusable(f"The object store cannot be used: {_sentence(error)}") from error

    def put(self, name: str, content: bytes) -> None:
        try:
            obstore.put(self._store, name, content)
        except (BaseError, OSError) as error:
            raise Unavailable(f"The object store did not take an object: {_sentence(error)}") from error

    def get(self, name: str) -> bytes | None:
        """The object, or None when there is none of this name."""
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except (NotFoundError, FileNotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise Unavailable(f"The object store did not give an object: {_sentence(error)}") from error

    def written_at(self, name: str) -> float:
        """When the store says the object was written, seconds since the epoch; of S3 whole seconds."""
        try:
            return float(obstore.head(self._store, name)["last_modified"].timestamp())
        except (BaseError, OSError) as error:
            raise Unavailable(f"The object store did not tell of an object: {_sentence(error)}") from error

    def list(self, prefix: str) -> list[str]:
        """Names below the folder ``prefix``, in order."""
        return sorted(self.sizes(prefix))

    def sizes(self, prefix: str) -> dict[str, int]:
        """Bytes of each object below the folder ``prefix``, by name."""
        try:
            return {item["path"]: item["size"] for page in obstore.list(self._store, prefix=prefix) for item in page}
        except (BaseError, OSError) as error:
            raise Unavailable(f"The object store did not list its objects: {_sentence(error)}") from error

    def delete(self, prefix: str) -> int:
        """Remove what lies below the folder ``prefix``; how many objects that were."""
        names = self.list(prefix)
        self.remove(names)
        return len(names)

    def remove(self, names: Sequence[str]) -> None:
        """Remove these objects; one that is not there is no error."""
        try:
            if names:
                obstore.delete(self._store, names)
        except FileNotFoundError:
            for name in names if len(names) > 1 else ():  # a folder stops at the first that is gone
                self.remove([name])
        except (BaseError, OSError) as error:
            raise Unavailable(f"The object store did not delete objects: {_sentence(error)}") from error

    def check(self) -> None:
        """For /ready."""
        try:
            for _ in obstore.list(self._store, prefix="none", chunk_size=1):
                break
        except (BaseError, OSError) as error:
            raise Unavailable(f"The object store does not answer: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    """The first line: what follows repeats the request, with its signed address."""
    return str(error).strip().partition("\n")[0][:300]
