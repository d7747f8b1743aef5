"""What went wrong, told to a person."""


class HaruspexError(Exception):
    """A fault in the input or the surroundings, in one sentence: what is wrong, where, what to do.

    The command line prints it without a traceback and exits with code 2.
    """
