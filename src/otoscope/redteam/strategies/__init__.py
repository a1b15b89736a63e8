"""Search strategies. One idea a file."""
