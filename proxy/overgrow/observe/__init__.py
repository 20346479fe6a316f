"""What happened: metrics, the access log, the traffic split, and the board of living workers."""
