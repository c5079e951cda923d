"""`limrank tune`: from a folder of documents to a reranker for them, and a report that says whether it helps."""
