"""What browsers measure: the script that they run, what they may send, and what is counted of it."""
