"""A cluster of Dask on this machine, for tests."""

import contextlib
import warnings

from support.waiting import wait_until


@contextlib.contextmanager
def local_cluster(workers=4, **options):
    """Give a client of a cluster of worker processes; its logs go nowhere, and what it leaves behind is no test's business."""
    import distributed

    words = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "silence_logs": 50, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(**words) as cluster, distributed.Client(cluster) as client:
            yield client


def forget_results(client):
    """Wait until the cluster holds no result: computed before that, an equal graph is not run again, but has the results of the first."""
    wait_until(lambda: not client.futures and client.run_on_scheduler(lambda dask_scheduler: not dask_scheduler.tasks))
