"""One file per AWS pipeline, sans-I/O, and the registry of them.

A transport turns messages into AWS calls as data and AWS answers into per-message outcomes. It never opens a socket:
who carries a call is another matter (`carriers/`), so a faster carrier replaces one without touching a transport.
"""
