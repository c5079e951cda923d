"""The methods that make records: persona (LimRank), corpus (Peshevski et al.), distil (a bi-encoder's similarities)."""
