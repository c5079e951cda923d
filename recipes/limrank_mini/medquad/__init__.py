"""MedQuAD (Ben Abacha and Demner-Fushman 2019) as training data: records with traces, and groups.

Every question and every answer of MedQuAD is labelled with its focus (a disease, a drug, a topic) and its question
type. What BM25 gets wrong there is the type: it finds the right disease and the wrong aspect of it. So the negatives
are mined among BM25's own hits, and each trace says the two things that decide: what the query asks, what the passage
answers. Traces are written from the labels, only where the words of the passage bear the labels out; that a passage is
silent on what is asked is said only where its words show it.
"""
