"""``python -m vizinho`` is ``vizinho``."""

from vizinho.cli import main

if __name__ == "__main__":
    main()
