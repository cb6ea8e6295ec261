"""Runs an account until Ctrl-C, and prints what to export to work in it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from aws_account import Account

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Account(Path(folder)) as account:
        for name, value in account.variables.items():
            print(f"export {name}={value}")
        print("# until Ctrl-C", flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass
