"""projector: results into the database, audio into the object store. The only writer of either."""
