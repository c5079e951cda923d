"""The routes that rank several queries in one call."""
