"""Recorded traffic of earlier versions, kept in `protocol/recorded`, and its replay to the parties of today."""
