"""What layers take and return: kinds of input, their checks, and the dtypes of results."""
