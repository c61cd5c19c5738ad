"""What `scripts/services` is made of: real Kafka, PostgreSQL and S3 on loopback, without Docker.

Standard library only, because it runs before the project's virtual environment exists. Linux only: processes are
identified through /proc.
"""
