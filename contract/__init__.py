"""The agreement between data, training and serving: prompt, verdict, records, manifest. Standard library only."""
