"""Telling somebody outside: by signed JSON, in Slack's form, or through apprise."""
