"""Answers that come piece by piece: who asked for one, how it is framed, and what is sent."""
