"""The HTTP side: the app, its routes and middleware, keys, and the server process."""
