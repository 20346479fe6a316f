"""From the text of routes.yaml to a table, with every problem named."""
