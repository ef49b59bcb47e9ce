"""The benchmark: what schedulers, and whole systems, take for tasks and cancels (conformance/BENCHMARK.md).

The scheduler part drives any endpoint with played clients and workers in processes of their own
(`player`, `client_player`, `worker_player`), and counts what the scheduler's process uses (`process_use`).
"""
