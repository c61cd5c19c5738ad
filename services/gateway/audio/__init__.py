"""Audio in every encoding and container that clients send or ask for. No session, no protocol."""
