"""Small faulty variants of the reference, and what of the suite catches each: `rescind conformance mutants`."""
