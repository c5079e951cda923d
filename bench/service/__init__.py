"""What the service itself costs, on an engine that answers at once."""
