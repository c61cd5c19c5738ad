"""One file a protocol; each translates to the session of ``services.gateway.sessions.session`` and has no pipeline of its own."""
