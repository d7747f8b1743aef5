"""What went wrong, told to a person."""

_LONGEST = 1000


class HaruspexError(Exception):
    """A fault in the input or the surroundings, in one sentence: what is wrong, where, what to do.

    The command line prints it without a traceback and exits with code 2. Sentences quote names and contents
    of files, which may hold anything: line breaks become blanks, and what a terminal would obey is left out.

    Parameters
    ----------
    sentence : str
        The sentence; at most 1000 characters of it are kept.
    """

    def __init__(self, sentence: str) -> None:
        line = " ".join(sentence.split())[:_LONGEST]
        super().__init__("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line))


class CannotWriteError(HaruspexError):
    """A result has no place: the disk is full, or the folder cannot be written to.

    The surroundings are at fault and not the input, so that no other input would fare better.
    """


class DeviceLostError(HaruspexError):
    """A GPU failed and will not come back to this process, nor may it end as others do.

    CUDA's libraries abort a process that tidies up after such a failure.
    """
