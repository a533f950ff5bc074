"""Make, read and change admins, and put their authenticators in and out."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import SecretStr

from auth.admins import Admin, check_username
from auth.errors import AdminNotFound, CredentialInvalid, InvalidChange
from auth.passwords import check_password
from auth.scopes import TENANTS_READ, TENANTS_WRITE
from auth.totp import new_totp_secret
from gateway.admin_access import AdminCaller, Maker, require_self_or
from gateway.admin_documents import AdminDocument
from gateway.admin_schemas import (
    AdminChange,
    AdminPage,
    NewAdmin,
    TotpConfirmation,
    TotpEnrolment,
    TotpSecretDocument,
)
from gateway.bodies import body_of, request_body
from gateway.dependencies import Acting, Opened, Paged, require
from gateway.routes.responses import problem_responses
from gateway.services import Services

router = APIRouter(prefix="/v1/admins", tags=["admins"])

Reader = Annotated[AdminCaller, Depends(require_self_or(TENANTS_READ, TENANTS_WRITE))]
Writer = Annotated[AdminCaller, Depends(require_self_or(TENANTS_WRITE))]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    operation_id="createAdmin",
    openapi_extra=request_body(NewAdmin),
    responses=problem_responses(413, 422),
)
async def create_admin(
    *, maker: Maker, wish: Annotated[NewAdmin, Depends(body_of(NewAdmin))], opened: Opened
) -> AdminDocument:
    """Make an admin; the first one with the bootstrap token as bearer, which works once."""
    if maker.caller is not None:
        maker.caller.require_held(tuple(wish.scopes))
    username = check_username(wish.username)
    password = check_password(wish.password.get_secret_value(), username=username)
    admin = await opened.store.create_admin(
        actor=maker.actor,
        username=username,
        password_hash=await opened.people.passwords.hash(password),
        scopes=tuple(wish.scopes),
        bootstrap=maker.bootstrap,
    )
    return AdminDocument.of(admin)


@router.get("", operation_id="listAdmins", responses=problem_responses(422))
async def list_admins(
    _caller: Annotated[object, Depends(require(TENANTS_READ, TENANTS_WRITE))],
    page: Paged,
    opened: Opened,
) -> AdminPage:
    """List the admins in the order of their ids, disabled ones included."""
    admins = await opened.store.list_admins(after=page.after, limit=page.limit + 1)
    shown = [AdminDocument.of(admin) for admin in admins[: page.limit]]
    return AdminPage(data=shown, next=shown[-1].admin_id if len(admins) > page.limit else None)


@router.get("/{admin_id}", operation_id="getAdmin", responses=problem_responses(404))
async def read_admin(*, caller: Reader, admin_id: str, opened: Opened) -> AdminDocument:
    """Read an admin; oneself always."""
    if not caller.is_admin(admin_id) and TENANTS_READ not in caller.principal.scopes:
        caller.principal.require(TENANTS_WRITE)
    return AdminDocument.of(await opened.store.get_admin(admin_id))


@router.patch(
    "/{admin_id}",
    operation_id="changeAdmin",
    openapi_extra=request_body(AdminChange),
    responses=problem_responses(404, 413, 422),
)
async def change_admin(
    *,
    caller: Writer,
    admin_id: str,
    change: Annotated[AdminChange, Depends(body_of(AdminChange))],
    opened: Opened,
    actor: Acting,
) -> AdminDocument:
    """Disable or enable an admin, or change its scopes or password.

    A disabled admin's sessions end at once, and so do those of one whose password changed. One's
    own password needs the one before; anything else needs `tenants:write` and every scope that the
    admin has, or gets.
    """
    admin = await _within_power(opened, caller, admin_id, change=change)
    password_hash = None
    if change.password is not None:
        wished = check_password(change.password.get_secret_value(), username=admin.username)
        if caller.is_admin(admin_id):
            await _check_own(opened, admin_id, change.current_password)
        password_hash = await opened.people.passwords.hash(wished)
    changed = await opened.store.update_admin(
        admin_id,
        actor=actor,
        scopes=None if change.scopes is None else tuple(change.scopes),
        is_disabled=change.disabled,
        password_hash=password_hash,
    )
    return AdminDocument.of(changed)


@router.post(
    "/{admin_id}/totp",
    status_code=HTTPStatus.CREATED,
    operation_id="enrolTotp",
    openapi_extra=request_body(TotpEnrolment),
    responses=problem_responses(404, 413, 422),
)
async def enrol_totp(
    *,
    caller: Writer,
    admin_id: str,
    wish: Annotated[TotpEnrolment, Depends(body_of(TotpEnrolment))],
    opened: Opened,
    actor: Acting,
) -> TotpSecretDocument:
    """Get the secret of a new authenticator for oneself; it counts once it has shown a code."""
    admin = await _oneself(opened, caller, admin_id)
    await _check_own(opened, admin_id, wish.current_password)
    secret = new_totp_secret()
    await opened.store.enrol_totp(admin_id, secret, actor=actor)
    return TotpSecretDocument.of(secret, username=admin.username)


@router.post(
    "/{admin_id}/totp/confirm",
    operation_id="confirmTotp",
    openapi_extra=request_body(TotpConfirmation),
    responses=problem_responses(404, 413, 422),
)
async def confirm_totp(
    *,
    caller: Writer,
    admin_id: str,
    wish: Annotated[TotpConfirmation, Depends(body_of(TotpConfirmation))],
    opened: Opened,
    actor: Acting,
) -> AdminDocument:
    """Put one's new authenticator to use; from now on a log-in needs its code."""
    await _oneself(opened, caller, admin_id)
    return AdminDocument.of(await opened.store.confirm_totp(admin_id, wish.totp, actor=actor))


@router.delete(
    "/{admin_id}/totp",
    status_code=HTTPStatus.NO_CONTENT,
    operation_id="removeTotp",
    responses=problem_responses(404),
)
async def remove_totp(*, caller: Writer, admin_id: str, opened: Opened, actor: Acting) -> None:
    """Forget an authenticator: that of an admin who lost it, never one's own.

    Threat: who has got hold of a session would else take the second factor away.
    """
    admin = await opened.store.get_admin(admin_id)
    caller.require_power_over(admin)
    if caller.is_admin(admin_id):
        raise InvalidChange("another admin takes yours out", "admin_id")
    await opened.store.remove_totp(admin_id, actor=actor)


async def _within_power(
    opened: Services, caller: AdminCaller, admin_id: str, *, change: AdminChange
) -> Admin:
    """Return the admin if the caller may change so much of it."""
    is_own_password = caller.is_admin(admin_id) and change.disabled is None and not change.scopes
    if not is_own_password:
        caller.principal.require(TENANTS_WRITE)
    admin = await opened.store.get_admin(admin_id)
    if not is_own_password:
        caller.require_power_over(admin)
        caller.require_held(tuple(change.scopes or ()))
    return admin


async def _oneself(opened: Services, caller: AdminCaller, admin_id: str) -> Admin:
    """Return the admin whose session calls; of anybody else there is nothing to be had here."""
    if not caller.is_admin(admin_id):
        caller.principal.require(TENANTS_WRITE)
        raise AdminNotFound
    return await opened.store.get_admin(admin_id)


async def _check_own(opened: Services, admin_id: str, password: SecretStr | None) -> None:
    """Pass if a password is the admin's own; the session stays good if it is not."""
    if password is None:
        raise InvalidChange("is needed to change your own password", "current_password")
    try:
        await opened.people.log_ins.check_own(admin_id, password.get_secret_value())
    except CredentialInvalid:
        raise InvalidChange("is not your password", "current_password") from None
