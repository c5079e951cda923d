"""The engines behind the seam in `service/engine.py`, one folder each; `loading` chooses."""
