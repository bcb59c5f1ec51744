# What an auth object knows and decides, whatever the HTTP library.
#
# Here: who fetches a token, what a 401 means, where a token may go: without I/O, HTTP library or event loop.
# Not here: sending (the adapters) and waiting (_waiting). The map in thebase_auth/__init__.py has each part.
