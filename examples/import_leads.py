"""Import leads into TheBase from a CSV file.

    export THEBASE_DOMAIN=... THEBASE_CLIENT_ID=... THEBASE_CLIENT_SECRET=...
    python import_leads.py leads.csv

To try it without an account, run `thebase-auth sandbox` in another terminal, and export the variables that
it prints.

The file is in UTF-8 and has the columns name, f_name and phone. Others, such as l_name and email, are sent
too. A lead that TheBase rejects is reported, and the import goes on. Any other error stops it.
"""

import csv
import sys
from pathlib import Path

import requests

from thebase_auth.requests import TheBaseAuth


def import_leads(path: Path) -> str | None:
    """Create each lead of the file, and return what went wrong, or None."""
    rejected = 0
    with requests.Session() as session, path.open(encoding="utf-8-sig", newline="") as file:
        # Nothing else is needed for tokens, even if one is revoked in the middle of the import.
        session.auth = auth = TheBaseAuth.from_env(session=session)
        session.headers["Accept"] = "application/json"  # or an error may be a page of HTML
        rows = csv.DictReader(file)
        for lead in rows:
            try:
                response = session.post(f"{auth.base_url}/v2/leads/create", json=lead, timeout=30)
                if response.status_code == 400:
                    print(f"line {rows.line_num} was rejected: {response.text}", file=sys.stderr)
                    rejected += 1
                    continue
                response.raise_for_status()
            except requests.RequestException as error:
                return (
                    f"stopped at line {rows.line_num}: {error}\n"
                    "Look up this lead in TheBase before you import it again: it may have been created."
                )
    return f"leads that were rejected: {rejected}" if rejected else None


if __name__ == "__main__":
    sys.exit(import_leads(Path(sys.argv[1])))
