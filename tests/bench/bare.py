"""The least that a click program is: what `cto --help` is compared with."""

import click


@click.command()
def main() -> None:
    """Do nothing."""


if __name__ == "__main__":
    main()
