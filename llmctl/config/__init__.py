"""From YAML files to one resolved Profile: reading, finding, inheriting, checking."""
