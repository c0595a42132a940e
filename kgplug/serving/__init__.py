"""Questions to a published graph: live lists, reasons, pictures."""
