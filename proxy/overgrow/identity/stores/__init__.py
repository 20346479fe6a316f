"""Where legacy keeps its sessions: a SQL database, Redis, a folder. Every call blocks, for a bounded time."""
