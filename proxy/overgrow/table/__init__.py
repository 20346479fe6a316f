"""From text to table: routes.yaml is read, validated, watched, and edited without a change of any other byte."""
