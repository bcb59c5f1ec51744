"""All kinds of callers at once, while everything goes wrong."""
