"""Where results and audio are kept: one database schema on PostgreSQL and SQLite, one object store behind one URL."""
