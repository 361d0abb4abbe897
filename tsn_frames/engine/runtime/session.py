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
    run: str = "",
    max_cost: Decimal | None = None,
    budget: BudgetAdmission | None = None,
) -> AsyncIterator[Session]:
    """Open the live parts of a run.

    Parameters
    ----------
    client : Client
        The settings.
    key : Secret
        API key, headers and query.
    store : bool
        Whether answers go into the cache.
    run : str
        The run's id in the ledger.
    max_cost : Decimal or None
        The most that the run may cost.
    budget : BudgetAdmission or None
        The budget that a conversation has had so far; None begins with the client's.
    """
    limits = client.budget.with_run(max_cost)
    if budget is None and limits:
        budget = BudgetAdmission(limits, client.ledger, client.prices, run)
    transport = open_transport(client.base_url, key, client.timeout)
    writer = Writer(client.ledger, client.cache if store else None)
    account = process_state.account(client.base_url, key)
    try:
        if budget:
            await budget.open()
        with account.limiter.run(client.limits) as quota:
            yield Session(
                client=client, secret=key, transport=transport, writer=writer, account=account, quota=quota, budget=budget
            )
    finally:
        if budget:
            writer.note(await budget.close())
        await writer.aclose()
        await transport.aclose()
