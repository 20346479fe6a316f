"""The access log: its formats, the thread that writes it, the file that can be reopened, and sampling."""
