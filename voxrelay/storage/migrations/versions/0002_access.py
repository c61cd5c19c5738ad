"""Keys, users, tokens, and what of a plan is used at the moment.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("concurrent_sessions", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=True),
        sa.Column("revoked_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "key_secrets",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index("key_secrets_by_key", "key_secrets", ["key_id"])
    op.create_table(
        "users",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "signing_secrets",
        sa.Column("secret_id", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("secret_id"),
    )
    op.create_table(
        "requests_by_minute",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("minute", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "minute"),
    )
    op.create_table(
        "places",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("audio_seconds", sa.Float(precision=53), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("session_id"),
    )
    op.create_index("places_by_key", "places", ["key_id", "expires_at"])
    op.create_index("places_by_gateway", "places", ["gateway"])
    op.create_index("sessions_by_owner", "sessions", ["owner", "opened_at"])
    op.create_index("syntheses_by_owner", "syntheses", ["owner", "requested_at"])


def downgrade() -> None:
    op.drop_index("syntheses_by_owner", "syntheses")
    op.drop_index("sessions_by_owner", "sessions")
    for name in ("places", "requests_by_minute", "signing_secrets", "users", "key_secrets", "api_keys"):
        op.drop_table(name)
