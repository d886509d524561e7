"""Values that a cell gives without showing them: what they say has been printed already, in words."""


class Silent:
    """A mix-in: IPython shows nothing for it, although it is a cell's last value."""

    def _ipython_display_(self):
        """Say nothing."""


class Word(Silent, str):
    """A verdict."""


class Flag(Silent, int):
    """A yes or no; bool itself cannot be extended."""

    def __repr__(self):
        return repr(bool(self))
