"""The commands that make no calls: `import`, `distil`, `verify`, `audit` and `export`. Each file has the settings of
one command, and `run`.

Heavy imports are made in `run`, as some take seconds.
"""
