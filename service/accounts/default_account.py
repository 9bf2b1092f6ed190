"""The default account: that of the installation itself, whose keys may see what belongs to no account."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from service.foundation.postgres.sql import Statement, connect

_IS_DEFAULT = Statement("SELECT FROM accounts WHERE id = :id AND is_default")


async def is_default(engine: AsyncEngine, account_id: UUID) -> bool:
    """Whether this is the default account."""
    async with connect(engine) as connection:
        return await connection.row(_IS_DEFAULT, {"id": account_id}) is not None
