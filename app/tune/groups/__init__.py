"""From queries to groups: candidates of the first stages, a teacher's scores, and what may not be a negative."""
