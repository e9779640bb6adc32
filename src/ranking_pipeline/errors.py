"""The one exception type for mistakes that a user can mend."""


class UserError(Exception):
    """A problem in the input, the configuration or a stored artefact.

    The message names the file or key, the offending value and the remedy; the shell
    prints it without a traceback.
    """
