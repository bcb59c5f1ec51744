"""Import leads into TheBase from a CSV file, with a progress bar.

Try it on a sandbox, which needs no account:

    python import_leads.py leads.csv --sandbox

In earnest, with the domain, client id and client secret from TheBase's settings:

    export THEBASE_DOMAIN=... THEBASE_CLIENT_ID=... THEBASE_CLIENT_SECRET=...
    python import_leads.py leads.csv
    python import_leads.py leads.csv --from-line 120    # go on where it stopped

It needs thebase-auth with its extra cli.
The columns name, f_name and phone must be there; others, like l_name and email, are sent along.
A row that TheBase refuses is reported, and the import goes on. Import the corrected rows from a
file of their own: the whole file once more would create the other leads twice.

Exit codes: 0 every lead created, 1 not every lead (stderr says which), 2 wrong
arguments, file or settings, and nothing was sent.
"""

import argparse
import csv
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import click
import requests

from thebase_auth import TheBaseAuthError
from thebase_auth.requests import TheBaseAuth

REQUIRED = ("name", "f_name", "phone")
TIMEOUT = 30  # seconds, for connecting and for each wait for data


def main() -> int:
    """Run the command line, and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("csv", type=Path, help="the file, as Excel saves it")
    parser.add_argument("--encoding", default="utf-8-sig", help="default: %(default)s")
    parser.add_argument("--from-line", type=int, default=1, help="skip what is above this line")
    parser.add_argument("--sandbox", action="store_true", help="import into a sandbox")
    options = parser.parse_args()
    with ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        try:
            leads = read_leads(options.csv, options.encoding)
            if options.sandbox:
                from thebase_auth.testing import Sandbox

                thebase = stack.enter_context(Sandbox())
                os.environ["THEBASE_DOMAIN"] = thebase.domain
                os.environ["THEBASE_CLIENT_ID"] = thebase.client_id
                os.environ["THEBASE_CLIENT_SECRET"] = thebase.client_secret
                session.trust_env = False  # no proxy on the way to this very process
            # All there is to do about tokens, also if one expires in the middle of the import:
            session.auth = auth = TheBaseAuth.from_env(session=session)
        except UnicodeError:
            parser.error(f"{options.csv} is not {options.encoding}; try --encoding windows-1255")
        except (ImportError, LookupError, OSError, ValueError) as error:
            parser.error(str(error))
        leads = [(line, lead) for line, lead in leads if line >= options.from_line]
        if not leads:
            parser.error(f"{options.csv} has no lead from line {options.from_line} on")
        return import_leads(session, f"{auth.base_url}/v2/leads/create", leads)


def read_leads(path: Path, encoding: str) -> list[tuple[int, dict[str, str]]]:
    """Return the leads, each after the number of its line (its last line, if it has several)."""
    line, leads = 0, []
    with path.open(encoding=encoding, newline="") as file:
        rows = csv.DictReader(file, strict=True)  # strict: an open quote would swallow the rest
        try:
            if missing := [name for name in REQUIRED if name not in (rows.fieldnames or ())]:
                raise ValueError(f"{path} has no column {', '.join(missing)}")
            for row in rows:
                line = rows.line_num
                if any(row.pop(None, [])):
                    raise ValueError(f"{path}, line {line}: more values than columns")
                if lead := {column: value for column, value in row.items() if value}:
                    leads.append((line, lead))
        except csv.Error as error:
            raise ValueError(f"{path}, after line {line}: {error}") from error
    return leads


def import_leads(session: requests.Session, url: str, leads: list[tuple[int, dict[str, str]]]) -> int:
    """Send the leads one by one, and return the exit code."""
    session.headers["Accept"] = "application/json"  # or an error may be a page of HTML
    line = created = 0
    refused: list[str] = []
    stopped, unsure = "", False
    try:
        with click.progressbar(leads, label="Importing", file=sys.stderr) as progress:
            for line, lead in progress:
                # A redirect might be followed with a GET, whose answer says nothing of the lead.
                answer = session.post(url, json=lead, timeout=TIMEOUT, allow_redirects=False)
                if 200 <= answer.status_code < 300:
                    created += 1
                elif answer.status_code == 400:
                    refused.append(f"line {line} refused: {message(answer)}")
                else:
                    stopped = f"TheBase answered {answer.status_code}: {message(answer)}"
                    unsure = answer.status_code >= 500
                    break
    except TheBaseAuthError as error:
        stopped = str(error)
    except requests.RequestException as error:
        # If the connection broke, the lead may have arrived all the same, and is not sent again.
        # If it was the token request that failed, the lead was not even sent.
        stopped = f"{type(error).__name__}: {error}"
        failed = getattr(error.request, "url", None) or url
        unsure = not failed.endswith("/oauth/token")
    except KeyboardInterrupt:
        stopped, unsure = "interrupted", True
    except Exception as error:  # noqa: BLE001 - whatever it is: where to go on must be told
        stopped, unsure = f"{type(error).__name__}: {error}", True
    tell(*refused)  # not earlier, in the middle of the progress bar
    stopped = stopped.rstrip(".")
    if stopped and unsure:
        tell(
            f"stopped at line {line}: {stopped}. This lead may or may not have been created: look it"
            f" up in TheBase. Go on with --from-line {line + 1} if it is there, or else {line}."
        )
    elif stopped:
        tell(f"stopped at line {line}: {stopped}. Go on with --from-line {line}.")
    print(f"{created} leads created, {len(refused)} refused")
    return 1 if stopped or refused else 0


def message(answer: requests.Response) -> str:
    """Return what TheBase says of an error."""
    try:
        return str(answer.json()["message"])
    except (ValueError, LookupError, TypeError, RecursionError):  # a gateway may answer in HTML
        return answer.reason


def tell(*texts: str) -> None:
    """Print each text as one line on stderr, whatever a server has put into it."""
    for text in texts:
        words = "".join(c if c.isprintable() or c.isspace() else "?" for c in text).split()
        with suppress(OSError):  # nobody reads it any more
            print(" ".join(words), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
