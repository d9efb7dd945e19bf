"""What goes wrong with a backend as a whole."""


class BackendUnavailableError(ImportError):
    """A backend cannot be used here: its package, its driver or its device is missing."""
