"""What every WebSocket needs, whatever it says: reading within limits, writing, the short way for audio."""
