"""Groups from a corpus (Peshevski et al.): synthetic queries, mined candidates, scores by an LLM classifier."""
