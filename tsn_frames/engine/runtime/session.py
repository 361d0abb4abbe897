"""A session: the live parts of one run, opened from a client's settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

from ...secret import Secret
from ..budget.admission import BudgetAdmission
from ..limits.rules import UserQuota
from ..transport.http_types import Transport
from ..transport.select_backend import open_transport
from .client import Client
from .process import ServiceAccount, process_state
from .writer import Writer


@dataclass(frozen=True)
class Session:
    """The live parts of one run."""

    client: Client
    secret: Secret
    transport: Transport
    writer: Writer
    account: ServiceAccount
    quota: UserQuota
    budget: BudgetAdmission | None = None


@asynccontextmanager
async def open_session(
    client: Client,
    key: Secret,
    *,
    store: bool,
    transport: Transport | None = None,
    run: str = "",
    max_cost: Decimal | None = None,
) -> AsyncIterator[Session]:
    """Open the live parts of a run.

    ``store`` says whether answers are to be cached; a transport that is given is closed, too; ``run`` is whose spending
    the ledger notes, and ``max_cost`` the most that it may come to.
    """
    budget = await process_state.budgets.admission(client.budget.with_run(max_cost), client.ledger, client.prices, run)
    transport = transport or open_transport(client.base_url, key, client.timeout)
    writer = Writer(client.ledger, client.cache if store else None)
    account = process_state.account(client.base_url, key)
    try:
        with account.limiter.run(client.limits) as quota:
            yield Session(client, key, transport, writer, account, quota, budget)
    finally:
        await writer.aclose()
        await transport.aclose()
