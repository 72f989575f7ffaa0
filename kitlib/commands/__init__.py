"""What `python -m kitlib` can do: a file for each family of commands; rooms are imported when called."""
