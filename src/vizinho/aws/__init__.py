"""A gallery on AWS: the function that answers, and what puts it there and takes it down."""
