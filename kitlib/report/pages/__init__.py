"""Pages and tables of results as Markdown and HTML."""
