# ruff: noqa: INP001 - a script, not a module
"""Sends one mail, as the environment says. A Job runs it beside each program that sends mails."""

import json
import os
import smtplib
import ssl
import sys
from email.message import EmailMessage

_PATIENCE_S = 20


def main() -> None:
    """Send it; say why it could not be sent, in one line."""
    given = json.loads(os.environ["MAIL"])
    try:
        with _connection(given) as server:
            if given["username"]:
                server.login(given["username"], os.environ.get("MAIL_PASSWORD", ""))
            server.send_message(_mail(given))
    except (OSError, smtplib.SMTPException) as error:
        sys.exit(f"{given['host']}:{given['port']}: {' '.join(str(error).split())}")


def _connection(given: dict[str, str]) -> smtplib.SMTP:
    trust = ssl.create_default_context()
    place = (given["host"], int(given["port"]), "cto")
    if given["encryption"] == "tls":
        return smtplib.SMTP_SSL(*place, timeout=_PATIENCE_S, context=trust)
    server = smtplib.SMTP(*place, timeout=_PATIENCE_S)
    if given["encryption"] == "starttls":
        server.starttls(context=trust)
    return server


def _mail(given: dict[str, str]) -> EmailMessage:
    made = EmailMessage()
    made["From"] = given["sender"]
    made["To"] = ", ".join(given["recipients"])
    made["Subject"] = given["subject"]
    made.set_content(given["text"])
    return made


if __name__ == "__main__":
    main()
