"""Health check of an image: exit status 0 while the service of this container answers, 1 where not. Standard library alone.

A gateway answers on its HTTP port, the others on VOXRELAY_METRICS_PORT. One that speaks TLS is only connected to, as it may ask for a
client's certificate.
"""

from __future__ import annotations

import os
import socket
import sys
import urllib.request

TIMEOUT_S = 4.0


def is_alive() -> bool:
    port = int(os.environ.get("VOXRELAY_ALIVE_PORT") or os.environ["VOXRELAY_METRICS_PORT"])
    try:
        if os.environ.get("VOXRELAY_GATEWAY_TLS_CERTIFICATE"):
            with socket.create_connection(("127.0.0.1", port), TIMEOUT_S):
                return True
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_alive() else 1)
