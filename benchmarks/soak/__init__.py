"""All kinds of callers at once, for minutes, while everything goes wrong that can; see __main__.py."""
