"""What came of it: the held-out queries ranked, and the page that shows it."""
