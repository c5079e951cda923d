"""One module per public body shape: Cohere superset, TEI, NIM."""
