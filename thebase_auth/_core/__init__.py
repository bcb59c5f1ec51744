# What an auth object knows and decides, whatever the HTTP library: no network, no files, no event loop.
