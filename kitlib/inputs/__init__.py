"""What models read: a spec says what is made of a study, an encoder makes it, a dataset holds it."""
