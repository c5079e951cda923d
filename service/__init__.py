"""The rerank service: settings -> engine -> app -> server."""
