"""The parts that both causal engines share: prompts, sequences, the queue, and the end of a trace."""
