"""The command `rescind`."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from rescind.log_format import LogFormat, set_up_logging
from rescind.number_options import count, seconds
from rescind.peer_options import MOST_MESSAGES

logger = logging.getLogger(__name__)

app = typer.Typer(
    name="rescind",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""The Task Cancellation Protocol: a reference scheduler and worker, and a conformance suite.

Start with `rescind demo`; then `rescind conformance scheduler --subject reference`.
""",
)
"""The commands that run a cluster. `whole_app` has those that test one, too."""

DEFAULT_ENDPOINT = "tcp://127.0.0.1:6378"

Endpoint = Annotated[str, typer.Option(help="ZeroMQ endpoint of the scheduler.")]
Status = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Tell how it is over HTTP, for `rescind top` (/status) and Prometheus (/metrics): 127.0.0.1:9363, say. "
        "It has no keys: keep it on loopback. Port 0 takes a free one; the line `status at …` says which.",
    ),
]
LogStyle = Annotated[
    LogFormat, typer.Option(help="How logs are written to standard error; json is an object a line, for programs.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, not only what goes wrong.")]


def app_of(arguments: Sequence[str]) -> typer.Typer:
    """What serves these arguments: without the suite, which takes half a second to import, if they need none of it."""
    names = [command.callback.__name__ for command in app.registered_commands if command.callback is not None]
    if arguments and arguments[0] in names:
        return app
    return _exploring_app() if list(arguments[:2]) == ["conformance", "explore"] else whole_app()


@cache
def _exploring_app() -> typer.Typer:
    """`rescind conformance explore` alone: to import the rest takes as long as to walk several scenarios."""
    from rescind_conformance.explorer.command import explore_command

    suite = typer.Typer(rich_markup_mode="markdown", pretty_exceptions_enable=False)
    suite.command("explore")(explore_command)
    app.add_typer(suite, name="conformance")
    return app


@cache
def whole_app() -> typer.Typer:
    """Every command."""
    from rescind_conformance.benchmark.command import app as benchmark_app
    from rescind_conformance.cli import app as conformance_app
    from rescind_conformance.faults.command import faults_command
    from rescind_conformance.fuzzing.command import fuzz_command
    from rescind_conformance.interop.command import interop
    from rescind_conformance.judge.command import check
    from rescind_conformance.soak.command import soak_command
    from rescind_conformance.tap.command import tap

    app.add_typer(conformance_app, name="conformance")
    app.add_typer(benchmark_app, name="benchmark")
    app.command()(check)
    app.command("faults")(faults_command)
    app.command("fuzz")(fuzz_command)
    app.command("soak")(soak_command)
    app.command()(interop)
    app.command()(tap)
    return app


@app.command()
def scheduler(
    endpoint: Annotated[
        str, typer.Option(help="Endpoint to bind; port 0 takes a free one. The line `listening on …` says which.")
    ] = DEFAULT_ENDPOINT,
    worker_timeout: Annotated[float, seconds("Seconds of silence after which a worker is lost.")] = 60.0,
    client_timeout: Annotated[float, seconds("Seconds of silence after which a client is lost.")] = 60.0,
    rebalance_interval: Annotated[
        float, seconds("Seconds between looks at the balance of the workers; 0 never moves a task.", least=0)
    ] = 1.0,
    max_attempts: Annotated[
        int, count("Workers that a task may be lost with before it is reported failedWorkerDied.")
    ] = 3,
    max_tasks_per_client: Annotated[
        int, count("Tasks that a client may have at once; what is beyond is refused.")
    ] = 1_000_000,
    max_bytes_per_client: Annotated[
        int, count("Bytes of the messages of those tasks; what is beyond is refused.")
    ] = 1_073_741_824,
    max_tasks_per_worker: Annotated[
        int, count("Tasks that a worker may have at once, also if it says that it takes more.")
    ] = 10_000,
    max_nodes_per_graph: Annotated[int, count("Tasks in one graph; a graph with more is refused.")] = 10_000,
    max_peers: Annotated[int, count("Clients, and workers, that are served at once.")] = 10_000,
    max_frame_bytes: Annotated[
        int, count("A longer message is dropped; one twice as long closes its connection.", least=1 << 20, most=1 << 24)
    ] = 1 << 24,
    max_queue: Annotated[
        int,
        count(
            "Messages that may wait for a client or worker; it is lost when there are more, since it does not read. "
            "If it reads, many may come at once all the same: twice the larger of --max-tasks-per-worker and "
            "--max-nodes-per-graph is safe.",
            most=MOST_MESSAGES,
        ),
    ] = 1_000_000,
    handshake_timeout: Annotated[
        float,
        seconds("Seconds after which a connection that does not speak ZeroMQ is closed."),
    ] = 10.0,
    grace: Annotated[float, seconds("Seconds that workers have to leave in an orderly shutdown.", least=0)] = 5.0,
    drain: Annotated[
        float, seconds("Seconds in which tasks may finish before that shutdown begins; none are taken then.", least=0)
    ] = 0.0,
    accept_shutdown: Annotated[
        bool, typer.Option("--accept-shutdown", help="Let any client shut the cluster down.")
    ] = False,
    run_directory: Annotated[
        Path | None, typer.Option(help="Keep the object store here; otherwise in a temporary directory.")
    ] = None,
    object_storage_address: Annotated[
        str | None,
        typer.Option(
            help="Keep payloads in Scaler's object storage server, which runs at this address, for example "
            "tcp://127.0.0.1:6379 (ipc:// does for this package's clients and workers only); otherwise in a store "
            "on this machine. Needs `rescind[opengris-scaler]`."
        ),
    ] = None,
    advertised_object_storage_address: Annotated[
        str | None, typer.Option(help="Where clients and workers reach that server, if it is another address.")
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            help="Encrypt, and admit only those whose keys are in this directory, which `rescind keys DIRECTORY` made: "
            "DIRECTORY/scheduler.",
            file_okay=False,
        ),
    ] = None,
    status: Status = None,
    trace: Annotated[Path | None, typer.Option(help="Append every message to this file, a JSON object a line.")] = None,
    log_format: LogStyle = LogFormat.TEXT,
    verbose: Verbose = False,
) -> None:
    """Serve clients and workers until SIGINT or SIGTERM.

    The first signal shuts down in order: workers are sent home, the owner of each task that is left is
    told `canceled`. With --drain, tasks that were accepted may finish before that; new ones are refused. A second
    signal ends all waiting.

    Example: `rescind scheduler --endpoint tcp://127.0.0.1:6378 &`
    """
    from rescind.scheduler import Scheduler
    from rescind.scheduler_machine import SchedulerSettings
    from rescind.scheduler_socket import SocketLimits

    set_up_logging(verbose, log_format)
    settings = SchedulerSettings(
        client_timeout=client_timeout,
        worker_timeout=worker_timeout,
        max_attempts=max_attempts,
        max_tasks_per_client=max_tasks_per_client,
        max_bytes_per_client=max_bytes_per_client,
        max_tasks_per_worker=max_tasks_per_worker,
        max_nodes_per_graph=max_nodes_per_graph,
        max_peers=max_peers,
        accept_shutdown=accept_shutdown,
    )
    with _clear_errors(log_format):
        stream = trace.open("a", encoding="utf-8") if trace is not None else None
        serving = Scheduler(
            endpoint,
            settings,
            rebalance_interval=rebalance_interval or None,
            grace=grace,
            drain=drain,
            run_directory=run_directory,
            object_storage_address=object_storage_address,
            advertised_object_storage_address=advertised_object_storage_address,
            limits=SocketLimits(max_frame_bytes, max_queue, handshake_timeout),
            trace=stream,
            curve=curve,
            status=status,
        )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: serving.stop())
    # It makes no cycles, and with a million tasks held a look for some would stop it for half a second.
    gc.disable()
    _announce({"listening on": serving.endpoint, "status at": serving.status_url})
    try:
        serving.run()
    finally:
        if stream is not None:
            with suppress(OSError):  # a disk that is full; it was told when it became so
                stream.close()


@app.command()
def worker(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    processes: Annotated[
        int,
        count(
            "Tasks that run at once, each in a process of its own. Those that tasks submit get further ones.",
            most=65_536,
        ),
    ] = os.cpu_count() or 1,
    queue_size: Annotated[
        int, count("Tasks, running and queued, that the scheduler may assign at once.", most=2**32 - 1)
    ] = 1000,
    name: Annotated[str, typer.Option(help="Part of the routing id, for logs.")] = "worker",
    heartbeat_interval: Annotated[float, seconds("Seconds between heartbeats.")] = 2.0,
    scheduler_timeout: Annotated[float, seconds("Seconds of silence after which the scheduler is lost.")] = 60.0,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="Run this function only, and read nothing but plain values from clients; may be repeated. "
            "MODULE:* is all that MODULE itself defines without a leading underscore.",
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            help="Encrypt, and speak to no other scheduler than the one whose key is in this directory, which "
            "`rescind keys DIRECTORY --worker NAME` made: DIRECTORY/workers/NAME.",
            file_okay=False,
        ),
    ] = None,
    drain: Annotated[
        float, seconds("Seconds in which what runs may finish when it is to leave; nothing is started then.", least=0)
    ] = 0.0,
    status: Status = None,
    log_format: LogStyle = LogFormat.TEXT,
    verbose: Verbose = False,
) -> None:
    """Run tasks until SIGINT or SIGTERM, or until the scheduler says so. With --drain a second signal ends the wait.

    Functions come from clients as pickles and run with this account's rights: connect only to a
    scheduler whose clients you trust, or say with --allow what they may run. Then arguments are numbers, text,
    bytes, dates, and lists, tuples, dicts and sets of them; everything else fails the task, and runs nothing.

    Example: `rescind worker --processes 4`

    Example: `rescind worker --allow math:sqrt --allow 'mytasks:*'`
    """
    from rescind.worker import Worker
    from rescind.worker_machine import WorkerSettings

    set_up_logging(verbose, log_format)
    settings = WorkerSettings(processes=processes, queue_size=queue_size, scheduler_timeout=scheduler_timeout)
    with _clear_errors(log_format):
        running = Worker(
            endpoint,
            settings,
            name=name,
            heartbeat_interval=heartbeat_interval,
            curve=curve,
            allow=allow or (),
            drain=drain,
            status=status,
        )
        _announce({"status at": running.status_url})
        running.run()


@app.command()
def keys(
    directory: Annotated[Path, typer.Argument(help="Where keys are; made if it is not there.", file_okay=False)],
    client: Annotated[
        list[str] | None, typer.Option(help="Make keys for the client NAME. May be repeated.", metavar="NAME")
    ] = None,
    worker: Annotated[
        list[str] | None, typer.Option(help="Make keys for the worker NAME. May be repeated.", metavar="NAME")
    ] = None,
) -> None:
    """Make keys (CURVE), with which connections are encrypted and no peer can pass for another.

    One directory a party, which is all that it needs:

    - DIRECTORY/scheduler is for `rescind scheduler --curve`. The keys in its `clients/` and `workers/` are admitted.
    A running scheduler sees what is added or removed there; who is removed is cut off within seconds.

    - DIRECTORY/clients/NAME is for `Client(..., curve="...")`.

    - DIRECTORY/workers/NAME is for `rescind worker --curve`.

    Move each to its machine, by a way that nobody reads along (`scp`), and keep no copy. Who would rather not have
    a secret made by somebody else runs this command, too, and hands over only the public key that it puts into
    `scheduler/clients/`, for that of the scheduler, `scheduler.key`. Nothing is ever overwritten. Without --client
    and --worker: the scheduler's keys are made if there are none, and it is listed who is admitted.

    Example: `rescind keys keys --client alice --worker rack1`
    """
    from rescind.curve import Role, make_keys, read_scheduler_keys

    with _clear_errors():
        peers = [(Role.CLIENT, name) for name in client or ()] + [(Role.WORKER, name) for name in worker or ()]
        for made in make_keys(directory, peers):
            typer.echo(f"made {made}")
        for public, holder in read_scheduler_keys(directory / "scheduler").authorised().items():
            typer.echo(f"admitted: {public.decode()} {holder.name}")


@app.command()
def top(
    address: Annotated[
        str, typer.Argument(metavar="[HOST:PORT]", help="Where a scheduler or worker was told to serve its --status.")
    ] = "127.0.0.1:9363",
    interval: Annotated[float, seconds("Seconds between two looks.", least=0.1, most=86_400)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once; rates are then those since the start.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each look as a line of JSON.")] = False,
) -> None:
    """Show what a scheduler or worker does: tasks by state, open cancel rounds, rates, peers, and what it dropped.

    It has to run with --status. Ends with Ctrl-C, or with status 2 when nobody answers any more.

    Example: `rescind scheduler --status 127.0.0.1:9363 & rescind top`
    """
    from rescind.top import watch

    with _clear_errors(), suppress(KeyboardInterrupt):
        try:
            watch(address, interval, once=once, as_json=as_json)
            sys.stdout.flush()
        except BrokenPipeError:  # `rescind top --json | head`; what Python has kept for it must go somewhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command()
def demo(
    processes: Annotated[int, count("Processes of the local worker.", least=2, most=1000)] = 2,
) -> None:
    """Start a local cluster, run real tasks, cancel some in every state, and show what was said.

    Nothing is left behind: the cluster ends with the command.
    """
    from rescind.demo import run_demo

    raise typer.Exit(run_demo(processes))


def _announce(places: Mapping[str, str | None]) -> None:
    """Say on standard output where it is reached. If nobody can read that any more it serves all the same."""
    lines = [f"{what} {place}" for what, place in places.items() if place is not None]
    try:
        for line in lines:
            print(line, flush=True)
    except OSError as error:
        logger.warning("%s (standard output cannot be written: %s)", ", ".join(lines), error.strerror or error)
        # What Python has kept for it must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _clear_errors(log_format: LogFormat = LogFormat.TEXT) -> Iterator[None]:
    """What the user can mend is told in a line, without a traceback; exit status 2."""
    from rescind.worker_pool import CannotStartProcesses

    try:
        yield
    except (ValueError, OSError, CannotStartProcesses) as error:
        if log_format is LogFormat.JSON:
            logger.error("%s", error)
        else:
            typer.echo(f"rescind: {error}", err=True)
        raise typer.Exit(2) from error
