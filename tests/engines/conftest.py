"""Leave out the files that run on an engine, with its imports of seconds, where `-m` deselects all of their tests."""

from __future__ import annotations

ON_ENGINES = {
    "test_dask_cluster.py",
    "test_dask_limits.py",
    "test_dask_more.py",
    "test_dask_soak.py",
    "test_ray.py",
    "test_spark.py",
}


def pytest_ignore_collect(collection_path, config):
    """Ignore them as soon as neither engines nor soak are asked for."""
    asked = config.option.markexpr
    return True if collection_path.name in ON_ENGINES and "not engine" in asked and "not soak" in asked else None
