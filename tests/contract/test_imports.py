"""What must not be paid for before it is used."""

from __future__ import annotations

import subprocess
import sys


def test_adapters_import_no_client_before_they_need_it() -> None:
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
import cto.adapters.download, cto.adapters.helm, cto.adapters.kubernetes
print(sorted({{"kubernetes", "requests", "urllib3", "jinja2", "rich"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
