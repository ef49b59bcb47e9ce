"""The cases by role, one module for each chapter of SPEC.md. A module that is put here is found by itself."""
