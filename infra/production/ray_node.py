"""One node of a Ray cluster on the loopback interface, until it is told to end: `ray start` insists on other interfaces.

    python -m infra.production.ray_node (--head | --worker) PORT CPUS FOLDER [CLIENT_PORT]

What Ray's own test clusters do (`ray.cluster_utils`), one process per node, so that each can be stopped by itself. A head
with a CLIENT_PORT lets machines in that are no nodes (`ray://`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

HOST = "127.0.0.1"
OBJECT_STORE_BYTES = 512 << 20
POLL_SECONDS = 1.0


def main() -> int:
    """Start the node; 0 when it was told to end, 1 when a process of it died."""
    role, port, cpus, folder, *client = sys.argv[1:]
    # Read when Ray is imported: it then says 127.0.0.1 where it would look for the address of this machine.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    settings = RayParams(
        node_ip_address=HOST, num_cpus=float(cpus), object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False,
        dashboard_host=HOST, include_log_monitor=False,
    )  # fmt: skip
    head = role == "--head"
    if head:
        settings.update_if_absent(gcs_server_port=int(port), temp_dir=str(Path(folder)))
        if client:
            # It starts a process per client from one with gRPC's threads, whose handlers of forks end some of them at birth.
            os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
            settings.update_if_absent(ray_client_server_port=int(client[0]))
    else:
        settings.update_if_absent(gcs_address=f"{HOST}:{port}", redis_address=f"{HOST}:{port}")
    node = Node(settings, head=head, shutdown_at_exit=True, spawn_reaper=True)
    print(f"ray {role.strip('-')}: up with {cpus} CPUs", flush=True)
    try:
        while not ended.wait(POLL_SECONDS):
            dead = node.dead_processes()
            if dead:
                print(f"ray {role.strip('-')}: died: {', '.join(name for name, _ in dead)}", file=sys.stderr)
                return 1
    finally:
        node.kill_all_processes(check_alive=False, allow_graceful=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
