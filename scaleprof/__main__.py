"""`python -m scaleprof`."""

from scaleprof.cli import run

if __name__ == "__main__":
    run()
