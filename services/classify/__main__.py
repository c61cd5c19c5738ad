from services.classify.compose import compose
from voxrelay.process import main

if __name__ == "__main__":
    main("classify", compose)
