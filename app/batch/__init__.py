"""`limrank batch`: a file of rerank calls, answered here, by a service or on a cluster; resumable after any kill."""
