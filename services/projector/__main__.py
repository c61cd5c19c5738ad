"""``python -m services.projector``: keeps what the other services found, over Kafka."""

from services.projector.compose import compose
from voxrelay.process import main

if __name__ == "__main__":
    main("projector", compose)
