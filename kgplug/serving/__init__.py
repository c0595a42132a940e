"""Ask a published graph: lists with reasons, live lists, pictures."""
