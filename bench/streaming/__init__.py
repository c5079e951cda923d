"""What streaming costs a call."""
