"""The HTTP layer beneath the app: bounded heads, a bounded number of connections, early answers that arrive."""
