"""``python -m services.synth``: speech from text over Kafka."""

from services.synth.compose import compose
from voxrelay.process import main

if __name__ == "__main__":
    main("synth", compose)
