"""Who is signed in: readers of the sessions that legacy made."""
