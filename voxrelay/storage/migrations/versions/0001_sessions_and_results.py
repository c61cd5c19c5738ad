"""Sessions, utterances, results and full-text search.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# What was said, searched by word. PostgreSQL: an index over the text itself. SQLite: an FTS5 table that triggers keep in step.
# (A VACUUM may number the rows anew: INSERT INTO transcripts_by_word(transcripts_by_word) VALUES ('rebuild') after one.)
POSTGRESQL_SEARCH = ("CREATE INDEX transcripts_by_word ON transcripts USING gin (to_tsvector('simple', text))",)
SQLITE_SEARCH = (
    "CREATE VIRTUAL TABLE transcripts_by_word USING fts5(text, content='transcripts', content_rowid='rowid', tokenize='unicode61')",
    """CREATE TRIGGER transcripts_inserted AFTER INSERT ON transcripts BEGIN
        INSERT INTO transcripts_by_word(rowid, text) VALUES (new.rowid, new.text);
    END""",
    """CREATE TRIGGER transcripts_deleted AFTER DELETE ON transcripts BEGIN
        INSERT INTO transcripts_by_word(transcripts_by_word, rowid, text) VALUES ('delete', old.rowid, old.text);
    END""",
    """CREATE TRIGGER transcripts_updated AFTER UPDATE ON transcripts BEGIN
        INSERT INTO transcripts_by_word(transcripts_by_word, rowid, text) VALUES ('delete', old.rowid, old.text);
        INSERT INTO transcripts_by_word(rowid, text) VALUES (new.rowid, new.text);
    END""",
)


def upgrade() -> None:
    op.create_table(
        "attributes",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("producer", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("number", sa.Float(precision=53), nullable=True),
        sa.Column("unit", sa.Text(), server_default="", nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "utterance_id", "producer", "name"),
    )
    op.create_index("attributes_by_name", "attributes", ["name", "label", "number"], unique=False)
    op.create_table(
        "recordings",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Float(precision=53), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "utterance_id"),
    )
    op.create_table(
        "results",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("producer", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.Float(precision=53), nullable=False),
        sa.Column("end_s", sa.Float(precision=53), nullable=False),
        sa.Column("engine", sa.Text(), server_default="", nullable=False),
        sa.Column("engine_version", sa.Text(), server_default="", nullable=False),
        sa.Column("model_digest", sa.Text(), server_default="", nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "utterance_id", "producer"),
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("language", sa.Text(), server_default="", nullable=False),
        sa.Column("stages", sa.JSON(), nullable=True),
        sa.Column("opened_at", sa.Float(precision=53), nullable=True),
        sa.Column("audio_seconds", sa.Float(precision=53), server_default="0", nullable=False),
        sa.Column("is_complete", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("completed_at", sa.Float(precision=53), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("session_id"),
    )
    op.create_index("sessions_by_creation", "sessions", ["created_at", "session_id"], unique=False)
    op.create_table(
        "speaker_segments",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("speaker", sa.Text(), nullable=False),
        sa.Column("start_s", sa.Float(precision=53), nullable=False),
        sa.Column("end_s", sa.Float(precision=53), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "utterance_id", "position"),
    )
    op.create_table(
        "stage_finishes",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("utterances", sa.Integer(), nullable=False),
        sa.Column("audio_seconds", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "stage"),
    )
    op.create_table(
        "syntheses",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("voice", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("characters", sa.Integer(), nullable=False),
        sa.Column("requested_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("session_id"),
    )
    op.create_table(
        "transcripts",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.Column("language", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("session_id", "utterance_id"),
    )
    op.create_table(
        "utterances",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("start_s", sa.Float(precision=53), nullable=False),
        sa.Column("end_s", sa.Float(precision=53), nullable=True),
        sa.Column("end_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("snr_db", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("session_id", "utterance_id"),
    )
    op.create_table(
        "words",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("utterance_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("start_s", sa.Float(precision=53), nullable=False),
        sa.Column("end_s", sa.Float(precision=53), nullable=False),
        sa.Column("confidence", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "utterance_id", "position"),
    )
    for statement in POSTGRESQL_SEARCH if op.get_bind().dialect.name == "postgresql" else SQLITE_SEARCH:
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.drop_table("transcripts_by_word")
    for name in (
        "syntheses",
        "recordings",
        "attributes",
        "speaker_segments",
        "words",
        "transcripts",
        "results",
        "utterances",
        "stage_finishes",
        "sessions",
    ):
        op.drop_table(name)
