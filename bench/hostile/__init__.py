"""A caller with a key beside attackers, and what they do."""
