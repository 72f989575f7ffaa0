"""From stacks as read to what models see: grey scales, cached volumes, tables without holes."""
