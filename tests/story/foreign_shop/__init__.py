"""A small Django site, as foreign to this project as a legacy app is: both sides of a comparison."""
