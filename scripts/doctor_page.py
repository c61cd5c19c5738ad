"""Prints docs/operations/doctor.md from the sentences of the doctor: `make fmt` writes it, a test compares."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from voxrelay.doctor.sentences import SENTENCES

HEAD = """# voxrelay doctor

One command looks whether everything the platform needs is there and as it should be. Each line says ok, warning or failed, and what to do.

```sh
voxrelay doctor                  # of the environment's variables, as the services read them; --data for the folder of 'voxrelay serve'
voxrelay doctor --json           # a list of {"check", "state", "code", "sentence"}
voxrelay doctor --timeout 5      # seconds for each check; they run beside each other
```

Exit status: 0 when nothing failed (warnings are no failure), 1 when something did, 2 for settings that are wrong by themselves.

- **Embedded or over Kafka**: `VOXRELAY_KAFKA_BOOTSTRAP` decides, as everywhere. Without it there are no broker, topics and groups to look at.
- **Where to run it**: where a service runs, with its environment. It sees the broker, the database and the bucket as that service does, and
  that machine's clock, disk, memory and weights.
- **What it changes**: nothing. To see whether the database takes writes it writes a row in a transaction and takes it back; to see whether
  the bucket does, it writes an object `voxrelay-doctor/<random>`, reads it and removes it.
- **How long it takes**: the engines' libraries are loaded first, in a process of their own (1 to 3 s with the bundled ones); all other checks
  run side by side, about a second on a healthy stack. A check that gets no answer within the timeout says so, and the others stand.
- **Secrets**: addresses are shown without user, password and parameters.
- **The clock** is compared with the database's and the object store's. Kafka has no call that tells a broker's time.
- **The broker's version**: before 4.0 brokers tell it in a setting; later ones are '4.0 or later'.
- **Weights** are read whole and compared with their checksums, also those that were checked before.
- A gateway that speaks TLS alone is taken for another program on its port.

## Everything it can say

What stands in braces is filled in; [what it said](doctor-tried.md) to a sound platform and to eighteen broken ones is on a page of its own.
Each sentence that is not ok was provoked in a test, on a real broker, database, bucket, file, port or library wherever that was possible;
brokers of another version, lost leaders, three brokers and refusing buckets were played.
"""


def page() -> str:
    rows = [f"| `{code}` | {sentence.check or 'any'} | {sentence.state} | {sentence.text} |" for code, sentence in SENTENCES.items()]
    return "\n".join([HEAD, "| code | check | state | sentence |", "|---|---|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
