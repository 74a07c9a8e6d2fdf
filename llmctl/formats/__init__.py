"""From reports to what people and programs read: tables, JSON, CSV, Markdown."""
