"""A checkpoint folder: manifest and fingerprint, configuration, files that other libraries read, the packaged models."""
