"""The service on vLLM beside vLLM itself, and under a long load."""
