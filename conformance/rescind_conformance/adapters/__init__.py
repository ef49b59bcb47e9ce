"""Adapters: programs that hold a client or a worker and do with it what the suite says (conformance/ADAPTER.md)."""
