"""A checkpoint folder: its manifest, its configuration, the files other libraries read, the packaged ones."""
