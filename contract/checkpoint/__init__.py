"""A checkpoint folder: its manifest and fingerprint, its configuration, the files other libraries read, the packaged ones."""
