"""Documents that are read in parts: windows of long ones, and sentences as spans."""
