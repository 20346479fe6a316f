"""What happens when a side fails: breakers, the fallback to legacy, the commit point."""
