"""``python -m services.denoise``: the front end over Kafka."""

from services.denoise.compose import compose
from voxrelay.process import main

if __name__ == "__main__":
    main("denoise", compose)
