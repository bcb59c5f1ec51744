# The command `sandbox`.
#
# Here: running a sandbox until Ctrl-C, what is printed meanwhile, and what the keys of the terminal do.
# Not here: the sandbox and its control interface (testing), and reading keys (_keys).

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Final

from thebase_auth.testing import ReceivedRequest, Sandbox
from thebase_auth.testing._control import CONTROL_PATH, with_control
from thebase_auth.testing._levers import KEYS, pull

from ._errors import CommandError
from ._keys import attached, listen

_ERROR_PAGE_SIZE: Final = 1000  # bytes; 467 kB in a terminal would hide what was before

_ASSIGN: Final = '  $env:{} = "{}"' if os.name == "nt" else "  export {}={}"

_LEGEND: Final = "\n".join(
    ["Keys:", *(f"  {key.key}  {key.text}" for key in KEYS), "  ?  show these keys", "  q  end", ""]
)


def run_sandbox(options: SimpleNamespace) -> bool:
    """Run a sandbox until Ctrl-C.

    Raises:
        CommandError: if the port cannot be used, or what is refused is not a call.
    """
    try:
        sandbox = Sandbox(
            port=options.port,
            expires_in=options.expires_in,
            token_lifetime=options.expires_in if options.token_lifetime is None else options.token_lifetime,
            single_token=options.single_token,
            refused=options.refuse,
            error_page_size=_ERROR_PAGE_SIZE,
            on_request=_print_line,
        )
    except ValueError as error:
        raise CommandError(f"--refuse: {error}") from None
    sandbox.asgi = with_control(sandbox, _print_line)
    with ExitStack() as stack:
        try:
            thebase = stack.enter_context(sandbox)
        except OSError as error:
            raise CommandError(f"port {options.port}: {error.strerror or error}") from None
        with suppress(KeyboardInterrupt):
            _print_settings(thebase)
            _pull_by_keys(thebase)
    return True


def _pull_by_keys(thebase: Sandbox) -> None:
    by_key = {key.key: key for key in KEYS}
    with listen() as pressed:
        if attached():
            _print(_LEGEND)
        for key in pressed:
            if key == "q":
                return
            if key == "?":
                _print(_LEGEND)
            elif key in by_key:
                try:
                    _print_line(pull(thebase, by_key[key].lever, by_key[key].arguments))
                except ValueError as error:  # to give back a right that was not taken
                    _print_line(error)


def _print_settings(thebase: Sandbox) -> None:
    client, limited = thebase.client, thebase.limited_client
    lines = [
        "The sandbox runs until Ctrl-C. In another terminal:\n",
        _ASSIGN.format("THEBASE_DOMAIN", thebase.domain),
        _ASSIGN.format("THEBASE_CLIENT_ID", client.client_id),
        _ASSIGN.format("THEBASE_CLIENT_SECRET", client.client_secret),
        "  thebase-auth request GET /v2/users\n",
        "A client that may not delete:\n",
        "  #" + _ASSIGN.format("THEBASE_CLIENT_ID", limited.client_id),
        "  #" + _ASSIGN.format("THEBASE_CLIENT_SECRET", limited.client_secret),
        "\nRequests and levers, in the browser and for any language:\n",
        f"  {thebase.domain}{CONTROL_PATH}\n",
        "Without Accept: application/json, a 401 is a page of HTML.",
        "Here it is short; a TheBase has sent 467 kB.\n",
    ]
    _print("\n".join(lines))


def _print_line(told: ReceivedRequest | str | Exception) -> None:
    line = "".join(c if c.isprintable() else "?" for c in str(told))
    _print(f"{time.strftime('%H:%M:%S')} {line}")


def _print(text: str) -> None:
    with suppress(OSError):  # nobody reads any more; the sandbox goes on
        print(f"{text}\n", end="", flush=True)
