"""What was deleted: marks on sessions, which the projector honours, and the proofs.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MARKS = ("audio_deleted_at", "text_deleted_at", "deleted_at")
# What is due for deletion, the oldest first, without reading what was deleted already.
DUE = {mark: f"CREATE INDEX sessions_due_{mark} ON sessions (coalesce(opened_at, created_at)) WHERE {mark} IS NULL" for mark in MARKS}


def upgrade() -> None:
    for mark in MARKS:
        op.add_column("sessions", sa.Column(mark, sa.Float(precision=53), nullable=True))
        op.execute(DUE[mark])
    op.create_table(
        "deletions",
        sa.Column("deletion_id", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.Float(precision=53), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("deletion_id"),
    )
    op.create_index("deletions_by_time", "deletions", ["requested_at", "deletion_id"])
    op.create_index("deletions_unfinished", "deletions", ["finished_at"])
    op.create_table(
        "deleted_sessions",
        sa.Column("deletion_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("rows", sa.JSON(), nullable=False),
        sa.Column("rows_sha256", sa.Text(), nullable=False),
        sa.Column("objects", sa.Integer(), nullable=True),
        sa.Column("object_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("objects_sha256", sa.Text(), server_default="", nullable=False),
        sa.Column("deleted_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("deletion_id", "session_id"),
    )
    op.create_index("deleted_sessions_by_session", "deleted_sessions", ["session_id"])
    op.create_index("deleted_sessions_unfinished", "deleted_sessions", ["deleted_at", "deletion_id"])


def downgrade() -> None:
    op.drop_table("deleted_sessions")
    op.drop_table("deletions")
    for mark in MARKS:
        op.execute(f"DROP INDEX sessions_due_{mark}")
        op.drop_column("sessions", mark)
