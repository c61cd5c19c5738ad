"""Text becomes audio: as one file, or over a WebSocket while it is made."""
