"""The engines of this repository beside a plain loop and the Sentence Transformers library."""
