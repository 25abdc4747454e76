"""One file is one technique: a Model and a Context in, a smaller Model out. Which to apply is the search's part."""
