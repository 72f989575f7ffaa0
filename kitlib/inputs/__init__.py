"""Model inputs: a spec defines what is made of a study, an encoder makes it, and a dataset holds it."""
