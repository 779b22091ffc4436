"""Puts a bundle into an image: the verb of `cto bundle image`."""

from __future__ import annotations

from pathlib import Path

from cto.cli.bundletext import amount, count
from cto.errors import UsageError
from cto.result import Result
from cto.storage import unwritable
from cto_airgap.image import write_image
from cto_airgap.reference import InvalidReferenceError, parse_reference


def written(program: Path, bundle: Path, out: Path, name: str) -> Result:
    """Write an image with a bundle in it.

    Raises:
        IntegrityError: CTO-1811, the program is no image, or the folder holds no bundle.
        PreflightError: CTO-1485, the file cannot be written.
        UsageError: CTO-1200, the name is none.
    """
    try:
        if parse_reference(name).digest:
            text = f"--name {name}: a digest is found out, not given"
            raise UsageError("CTO-1200", text)
        made = write_image(program, bundle, out, name)
    except InvalidReferenceError as error:
        raise UsageError("CTO-1200", f"--name: {error}") from error
    except OSError as error:
        raise unwritable(out, error, instead="name another file: --out FILE") from error
    layers = count(made.layers, "layer")
    return Result(
        command="bundle image",
        data={
            "file": str(out),
            "name": name,
            "digest": made.digest,
            "bundle": made.bundle,
            "size": made.size,
        },
        text=(
            f"{out}: {name}, {amount(made.size)}\n{made.digest}\n"
            f"with the bundle {made.bundle} in {layers}"
        ),
    )
