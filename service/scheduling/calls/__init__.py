"""What the queue and the window know of one call."""
