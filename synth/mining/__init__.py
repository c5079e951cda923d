"""Hard negatives: passages that a first stage ranks high and that do not answer.

`retriever.Retriever` is the agreement; `bm25.Bm25` (bm25s) and `bi_encoder.BiEncoder` (sentence-transformers) keep it;
`hard_negatives.mine_negatives` chooses among their hits. Import from the modules: the bi-encoder takes seconds to load.
"""
