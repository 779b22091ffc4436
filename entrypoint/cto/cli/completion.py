"""`cto completion`: makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cto.cli.options import output_options
from cto.result import Result

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@output_options()
@click.pass_context
def completion(context: click.Context, shell: str) -> Result:
    """Print the completion script of a shell.

    \b
    bash:  cto completion bash > ~/.local/share/bash-completion/completions/cto
    zsh:   cto completion zsh > ~/.zfunc/_cto
    fish:  cto completion fish > ~/.config/fish/completions/cto.fish
    """  # noqa: D301 - \b is click's sign to keep the lines
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - click has all three
        raise AssertionError(shell)
    # Not `source()`: for bash, click starts one to ask for its version. The container has none.
    script = kind(context.find_root().command, {}, "cto", "_CTO_COMPLETE")
    text = script.source_template % script.source_vars()
    return Result(command="completion", data={"shell": shell, "script": text}, text=text.strip())
