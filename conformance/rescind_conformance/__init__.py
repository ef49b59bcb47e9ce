"""A conformance suite for the Task Cancellation Protocol: it plays the peers of any implementation."""
