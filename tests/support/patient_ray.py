"""Ray on a machine that is busy with other work."""

from __future__ import annotations

import re

# Its own times are those of a cluster that does nothing else: a busy machine is taken for a dead node, a slow start for a failed one.
ENVIRONMENT = {
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_health_check_failure_threshold": "100",
    "RAY_gcs_server_request_timeout_seconds": "300",
    "RAY_raylet_client_num_connect_attempts": "300",
    "RAY_memory_monitor_refresh_ms": "0",  # or it kills workers where others have filled the memory
    "RAY_USAGE_STATS_ENABLED": "0",
}
TRIES = 6
GAVE_UP = re.compile(r"timed out during startup|while waiting for node to startup")  # after 30 seconds, which nothing changes
