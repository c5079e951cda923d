"""A checkpoint folder: manifest, fingerprint, configuration, files for other libraries, and the packaged models."""
