"""Who lives: heartbeats, what is concluded from them, and what becomes of claims of the dead."""
