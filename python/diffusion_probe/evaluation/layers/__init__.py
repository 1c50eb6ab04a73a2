"""Which attention layers of a backbone hold signal about the quality of an image within its prompt."""
