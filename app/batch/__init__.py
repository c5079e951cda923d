"""`limrank batch`: answers a file of rerank calls in this process, by a service or on a cluster; resumes after any
kill."""
