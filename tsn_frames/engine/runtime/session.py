"""A session: the live parts of one run, opened from a client's settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from ...errors import ConfigError
from ...secret import Secret
from ..budget.admission import BudgetAdmission
from ..limits.combined_limits import UserQuota
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


class SharedSession:
    """What several runs of one verb share: open connections, and what the limiter has learned. Not for the loop's thread."""

    def __init__(self, client: Client) -> None:
        self._client, self._stack = client, AsyncExitStack()
        self._transport: Transport | None = None

    def transport(self, key: Secret) -> Transport:
        """Return the connections, opened by the first run that sends; on the loop's thread."""
        if self._transport is None:
            limiter = process_state.account(self._client.base_url, key).limiter
            self._stack.enter_context(limiter.run(self._client.limits))
            self._transport = open_transport(self._client.base_url, key, self._client.timeout)
            self._stack.push_async_callback(self._transport.aclose)
        return self._transport

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        process_state.submit(self._stack.aclose()).result()


@asynccontextmanager
async def open_session(
    client: Client,
    key: Secret,
    *,
    store: bool,
    shared: SharedSession | None = None,
    run: str = "",
    max_cost: Decimal | None = None,
    budget: BudgetAdmission | None = None,
) -> AsyncIterator[Session]:
    """Open the live parts of a run; ``budget`` is what a conversation has had so far, None begins with the client's."""
    if not client.cache.sends:
        raise ConfigError("a client of an archive sends no requests: give another client")
    limits = client.budget.with_run(max_cost)
    if budget is None and limits:
        budget = BudgetAdmission(limits, client.ledger, client.prices, run)
    transport = shared.transport(key) if shared else open_transport(client.base_url, key, client.timeout)
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
        if shared is None:
            await transport.aclose()
