"""What other people see of a pool: failures, history, results, all as plain data or plain text."""
