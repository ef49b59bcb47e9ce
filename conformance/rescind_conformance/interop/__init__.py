"""Mixes of this project's parties and those of the released Scaler, run on real functions in real processes."""
