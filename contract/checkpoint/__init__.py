"""A checkpoint folder: manifest, fingerprint, configuration, files that other libraries read, the packaged models."""
