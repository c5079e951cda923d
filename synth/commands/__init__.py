"""The commands that make no calls: `import`, `verify`, `audit` and `export`. Each file has its knobs and its act.

What an act needs is imported when it runs: some of it takes seconds to load.
"""
