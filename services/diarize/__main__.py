from services.diarize.compose import compose
from voxrelay.process import main

if __name__ == "__main__":
    main("diarize", compose)
