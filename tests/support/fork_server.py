"""Fork a Python process with pandas and tsn_frames imported for each job that arrives; `python_process` starts this as a script."""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import warnings
from types import ModuleType
from typing import Any


def serve(connection: socket.socket) -> dict[str, Any]:
    """Fork for each job; return the job in the process that is to run it."""
    parents: list[int] = []
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, 1_000_000, 4)
        parents = [process for process in parents if os.waitpid(process, os.WNOHANG)[0] == 0]
        if not message:
            sys.exit()
        if (process := os.fork()) == 0:
            connection.close()
            become_child(descriptors)
            return json.loads(message)
        parents.append(process)
        for descriptor in descriptors:
            os.close(descriptor)


def become_child(descriptors: list[int]) -> None:
    """Fork once more: the parent writes the child's process id and, at its end, its wait status, as eight bytes each."""
    *standard, status = descriptors
    if child := os.fork():
        os.write(status, child.to_bytes(8))
        os.closerange(0, status)  # a pipe of the child ends with the child
        os.write(status, os.waitpid(child, 0)[1].to_bytes(8))
        os._exit(0)
    os.close(status)
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)


if __name__ == "__main__":
    import tsn_frames.accessor
    import tsn_frames.engine.transport.pool
    import tsn_frames.verbs.complete  # noqa: F401

    gc.freeze()  # or each child copies the memory of all objects, to look for garbage when it ends
    job = serve(socket.socket(fileno=int(sys.argv[1])))
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.argv, sys.path[0] = ["-c", *job["arguments"]], ""
    if job["warnings"] != "default":
        warnings.simplefilter(job["warnings"])
    sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(job["code"], "<string>", "exec"), vars(sys.modules["__main__"]))
