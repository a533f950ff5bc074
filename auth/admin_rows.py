"""Turn rows of the admins' tables into plain values."""

from auth.admins import Admin, Session
from auth.rows import AnyRow


def admin_from(row: AnyRow) -> Admin:
    """Read a row of `admins`."""
    return Admin(
        admin_id=row.admin_id,
        username=row.username,
        scopes=tuple(row.scopes),
        has_totp=row.totp_sealed is not None,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        password_changed_at=row.password_changed_at,
        last_log_in_at=row.last_log_in_at,
    )


def session_from(row: AnyRow) -> Session:
    """Read a row of `sessions`."""
    return Session(
        session_id=row.session_id,
        admin_id=row.admin_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        idle_ends_at=row.idle_ends_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
