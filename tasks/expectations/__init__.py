"""What the data are expected to be, as Great Expectations expectations; importing a module of it takes seconds."""
