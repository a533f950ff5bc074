"""Tell whether somebody who logs in is the admin it says it is."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from auth.actor import Actor
from auth.admins import IssuedSession, Proof, SessionTimes
from auth.errors import CredentialInvalid
from auth.password_work import PasswordWork
from auth.store import Store
from auth.totp import SECRET_BYTES, matching_step

_NO_SECRET: Final = bytes(SECRET_BYTES)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody shows to log in."""

    username: str
    password: str
    totp: str | None

    def __repr__(self) -> str:
        """Leave the secrets out, and the username, in whose place passwords are typed."""
        return "Claim()"


class LogIn:
    """Check passwords and one-time codes and open sessions.

    Whoever calls has counted the attempt already: see `gateway.log_ins`.

    Threat: everything that is refused takes the same steps, or the time would tell a guesser who
    has an account, or that the password is right and only the code is missing.
    """

    def __init__(
        self,
        store: Store,
        work: PasswordWork,
        *,
        times: SessionTimes,
        now: Callable[[], float],
    ) -> None:
        """Work on `store`; `now` gives epoch seconds."""
        self._store = store
        self._work = work
        self._times = times
        self._now = now
        self._notes: set[asyncio.Task[None]] = set()

    async def open(self, claim: Claim, *, is_known: bool, actor: Actor) -> IssuedSession:
        """Open a session for a claim that holds; `is_known` chooses the queue.

        Raises:
            CredentialInvalid: it does not, whatever the reason.
            PasswordWorkFull: too many passwords wait to be verified.
        """
        proof = await self._store.find_proof(claim.username)
        stored = None if proof is None else proof.password_hash
        is_right = await self._work.verify(claim.password, stored, is_known=is_known)
        step = self._step(proof, claim.totp or "")
        has_code = proof is None or proof.totp_secret is None or step is not None
        if proof is None or not is_right or not has_code or proof.admin.disabled_at is not None:
            self._note_refused(proof, actor)
            raise CredentialInvalid("log-in")
        rehashed = None
        if self._work.needs_rehash(proof.password_hash):
            rehashed = await self._work.hash(claim.password)
        used = None if proof.totp_secret is None else step
        return await self._store.open_session(
            proof, actor=actor, times=self._times, totp_step=used, rehashed=rehashed
        )

    async def close(self) -> None:
        """Wait until the failures are written down."""
        await asyncio.gather(*self._notes)

    async def check_password(self, admin_id: str, password: str) -> None:
        """Pass if the password is the admin's own.

        Raises:
            CredentialInvalid: it is not.
            PasswordWorkFull: too many passwords wait to be verified.
        """
        proof = await self._store.get_proof(admin_id)
        if not await self._work.verify(password, proof.password_hash, is_known=True):
            raise CredentialInvalid("own password")

    def _note_refused(self, proof: Proof | None, actor: Actor) -> None:
        """Write a failure into the audit log, beside the answer: who is unknown leaves none.

        Threat: waited for, it would tell known usernames by the time; written for every name that
        strangers think of, it would fill the disk.
        """
        if proof is None:
            return
        note = asyncio.create_task(self._note(proof.admin.admin_id, actor))
        self._notes.add(note)
        note.add_done_callback(self._notes.discard)

    async def _note(self, admin_id: str, actor: Actor) -> None:
        try:
            await self._store.note_refused_log_in(admin_id, actor=actor)
        except (SQLAlchemyError, OSError) as error:
            logger.warning("a refused log-in cannot be written down: %s", type(error).__name__)

    def _step(self, proof: Proof | None, code: str) -> int | None:
        secret = proof.totp_secret if proof is not None and proof.totp_secret else _NO_SECRET
        step = matching_step(secret, code, now=self._now())
        if step is None or (proof is not None and step <= proof.totp_last_step):
            return None
        return step
