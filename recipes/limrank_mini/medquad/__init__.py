"""MedQuAD (Ben Abacha and Demner-Fushman 2019) as training data: records with traces, and groups.

Every question and every answer of MedQuAD is labelled with its focus (a disease, a drug, a topic) and its question
type. BM25 errs on the type: it finds the right disease but the wrong aspect of it. Negatives are therefore mined from
BM25's own hits, and each trace states the two deciding facts: what the query asks and what the passage answers. Traces
are generated from the labels, only when the words of the passage confirm them; a trace says that a passage does not
treat the aspect only when its words show that.
"""
