"""`python -m overgrow`: the command line."""

from overgrow.cli.main import run

if __name__ == "__main__":
    run()
