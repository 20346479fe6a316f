"""`python -m overgrow`: the command line."""

from overgrow.cli.main import run_command

if __name__ == "__main__":
    run_command()
