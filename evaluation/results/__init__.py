"""What each command measures, as one dataclass for each kind of result file. JSON is made and read here only."""
