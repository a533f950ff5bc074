"""Connections of the HTTP server, over real sockets."""
