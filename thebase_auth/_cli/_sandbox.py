# The command `sandbox`.
#
# Here: running a sandbox until Ctrl-C, and what is printed meanwhile: the settings to use, and each request.
# Not here: the sandbox (testing).

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from types import SimpleNamespace

from thebase_auth.testing import ReceivedRequest, Sandbox

from ._errors import CommandError


def run_sandbox(options: SimpleNamespace) -> bool:
    """Run a sandbox until Ctrl-C.

    Raises:
        CommandError: if the port cannot be used.
    """
    sandbox = Sandbox(
        port=options.port,
        expires_in=options.expires_in,
        token_lifetime=options.expires_in,
        on_request=_print_request,
    )
    with ExitStack() as stack:
        try:
            thebase = stack.enter_context(sandbox)
        except OSError as error:
            raise CommandError(f"port {options.port}: {error.strerror or error}") from None
        with suppress(KeyboardInterrupt):
            _print_settings(thebase)
            while True:
                time.sleep(3600)
    return True


def _print_settings(thebase: Sandbox) -> None:
    assign = "  set" if os.name == "nt" else "  export"
    print("The sandbox runs until Ctrl-C. In another terminal:\n")
    print(f"{assign} THEBASE_DOMAIN={thebase.domain}")
    print(f"{assign} THEBASE_CLIENT_ID={thebase.client_id}")
    print(f"{assign} THEBASE_CLIENT_SECRET={thebase.client_secret}")
    print("  thebase-auth request GET /v2/users\n")
    print("A client that may not delete:\n")
    print(f"{assign} THEBASE_CLIENT_ID={thebase.limited_client.client_id}")
    print(f"{assign} THEBASE_CLIENT_SECRET={thebase.limited_client.client_secret}\n", flush=True)


def _print_request(request: ReceivedRequest) -> None:
    line = "".join(c if c.isprintable() else "?" for c in str(request))
    with suppress(OSError):  # nobody reads any more; the sandbox goes on
        print(time.strftime("%H:%M:%S"), line, flush=True)
