"""Decides when a document runs: admission, the window of documents in the engine, limits, the watchdog."""
