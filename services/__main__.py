"""The embedded platform: every service in one process on the in-memory bus, SQLite and a local folder (``voxrelay serve``)."""

from services.embedded import main

if __name__ == "__main__":
    main()
