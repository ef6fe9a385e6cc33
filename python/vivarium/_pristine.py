"""The builtins as they were at boot.

A run may patch `builtins` and its result must still be reported. A function looks its builtins up in the
`__builtins__` its module had when it was defined, so each module of the harness begins by importing this copy
under that name. For the same reason the harness binds what it needs of other modules when it is imported.
"""

import builtins

pristine: dict[str, object] = dict(vars(builtins))
