"""The changes that budgets count, and the halts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables `changes` and `halts`; what each is for stands in `soar.store.tables`."""
    op.create_table(
        "changes",
        sa.Column("incident_id", sa.String(length=64), nullable=False),
        sa.Column("step_id", sa.String(length=256), nullable=False),
        sa.Column("plan_digest", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("risk", sa.String(length=32), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("playbook", sa.String(length=256), nullable=False),
        sa.Column("action", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "step_id", "plan_digest", "seq"),
    )
    op.create_index("changes_time", "changes", ["time"], unique=False)
    op.create_table(
        "halts",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("responder_id", sa.String(length=256), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_by", sa.String(length=256), nullable=False),
        sa.Column("lifted_name", sa.Text(), nullable=False),
        sa.Column("lift_reason", sa.Text(), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("halts_in_force", "halts", ["lifted_at"], unique=False)


def downgrade() -> None:
    """Drop both tables; who halted and why is lost with them."""
    op.drop_table("halts")
    op.drop_table("changes")
