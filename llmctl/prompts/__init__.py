"""Prompts as code: templates, examples, reasoning, checks, shrinking, schemas and attachments."""
