"""Every write of the store that is about admins, by the action that it leaves in the audit log."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from auth.actor import Actor
from auth.admins import SessionTimes
from auth.store import Store
from auth.totp import code_at, new_totp_secret

ADMIN = Actor("api_key", "0123456789abcdef", "platform", "f" * 32)

Write = Callable[[Store, str], Awaitable[object]]


async def _create_admin(store: Store, _tenant_id: str) -> str:
    admin = await store.create_admin(
        actor=ADMIN, username="ada", password_hash="x", scopes=["tenants:write"]
    )
    return admin.admin_id


async def _update_admin(store: Store, tenant_id: str) -> None:
    admin_id = await _create_admin(store, tenant_id)
    await store.update_admin(admin_id, actor=ADMIN, is_disabled=True)


async def _enrol_totp(store: Store, tenant_id: str) -> tuple[str, bytes]:
    admin_id, secret = await _create_admin(store, tenant_id), new_totp_secret()
    await store.enrol_totp(admin_id, secret, actor=ADMIN)
    return admin_id, secret


async def _confirm_totp(store: Store, tenant_id: str) -> None:
    admin_id, secret = await _enrol_totp(store, tenant_id)
    step = int(datetime(2026, 11, 5, 12, 0, tzinfo=UTC).timestamp()) // 30
    await store.confirm_totp(admin_id, code_at(secret, step), actor=ADMIN)


async def _remove_totp(store: Store, tenant_id: str) -> None:
    await store.remove_totp(await _create_admin(store, tenant_id), actor=ADMIN)


async def _open_session(store: Store, tenant_id: str) -> str:
    proof = await store.get_proof(await _create_admin(store, tenant_id))
    issued = await store.open_session(proof, actor=ADMIN, times=SessionTimes())
    return issued.session.session_id


async def _revoke_session(store: Store, tenant_id: str) -> None:
    await store.revoke_session(await _open_session(store, tenant_id), actor=ADMIN)


async def _note_refused(store: Store, tenant_id: str) -> None:
    await store.note_refused_log_in(await _create_admin(store, tenant_id), actor=ADMIN)


ADMIN_WRITES: dict[str, tuple[str, Write]] = {
    "create_admin": ("admin.create", _create_admin),
    "update_admin": ("admin.update", _update_admin),
    "enrol_totp": ("admin.enrol_totp", _enrol_totp),
    "confirm_totp": ("admin.confirm_totp", _confirm_totp),
    "remove_totp": ("admin.remove_totp", _remove_totp),
    "open_session": ("session.open", _open_session),
    "revoke_session": ("session.revoke", _revoke_session),
    "note_refused_log_in": ("session.refuse", _note_refused),
}
