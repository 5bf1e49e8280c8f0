"""What can be put right by whoever uses the library."""


class UserError(Exception):
    """Something about the input or the machine is not as it must be; the message says what, where, and the remedy.

    Commands print the message alone; anything else that is raised is a defect and keeps its traceback.
    """
