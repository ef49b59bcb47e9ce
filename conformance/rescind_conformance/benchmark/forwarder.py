"""The least that a scheduler in Python can do: the limit that the others are compared with.

    python -m rescind_conformance.benchmark.forwarder ENDPOINT

One ROUTER, one message at a time: pycapnp reads the kind and the task id, nothing is checked, and the frame goes on
as it came. A Task goes to the next worker in turn, a TaskCancel to the worker that has its task, what a worker says
of a task to its owner; heartbeats are echoed. It keeps no state but who has and who owns a task.
"""

from __future__ import annotations

import sys

import zmq

from rescind import wire
from rescind.messages import ClientHeartbeatEcho, WorkerHeartbeatEcho
from rescind.wire_layout import SCHEMA


def main() -> None:
    """Forward until killed."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.setsockopt(zmq.SNDHWM, 0)
    router.setsockopt(zmq.RCVHWM, 0)
    router.bind(sys.argv[1])
    print(f"listening on {router.get_string(zmq.LAST_ENDPOINT)}", flush=True)
    client_echo, worker_echo = wire.encode(ClientHeartbeatEcho()), wire.encode(WorkerHeartbeatEcho())
    workers: list[bytes] = []
    places: dict[bytes, tuple[bytes, bytes]] = {}
    turn = 0
    message = SCHEMA.Message
    while True:
        sender, frame = router.recv_multipart()
        with message.from_bytes(frame) as root:
            kind = str(root.which)
            if kind == "task":
                task_id = root.task.taskId
                worker = workers[turn % len(workers)]
                turn += 1
                places[task_id] = sender, worker
                router.send_multipart([worker, frame])
            elif kind == "taskCancel":
                router.send_multipart([places[root.taskCancel.taskId][1], frame])
            elif kind == "taskResult":
                router.send_multipart([places.pop(root.taskResult.taskId)[0], frame])
            elif kind == "taskCancelConfirm":
                router.send_multipart([places.pop(root.taskCancelConfirm.taskId)[0], frame])
            elif kind == "clientHeartbeat":
                router.send_multipart([sender, client_echo])
            elif kind == "workerHeartbeat":
                if sender not in workers:
                    workers.append(sender)
                router.send_multipart([sender, worker_echo])


if __name__ == "__main__":
    main()
