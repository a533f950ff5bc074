"""Read the audit log as the ones whose records it tells of may read it."""

from auth.audit import Entry
from auth.audit_log import AuditWish, read_entries
from auth.catalogue import Catalogue


class AuditStore(Catalogue):
    """Hand out what changed, in its order."""

    async def list_entries(self, wish: AuditWish, *, after: int, limit: int) -> list[Entry]:
        """Return the next entries after a sequence number that are as wished for."""
        return await self._read(
            lambda connection: read_entries(connection, after=after, limit=limit, wish=wish)
        )
