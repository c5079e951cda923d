"""The parts that both causal engines share: prompts, requests, graded reads, and measured speed."""
