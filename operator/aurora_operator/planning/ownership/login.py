"""The password of the master user, and which Secret says how to connect.

The Secret `<cluster>-app` may be anybody's. Where it is ours, all of it is. Where a user has made it to choose the
password, it gets the other keys, is never owned, and goes with no cluster; its `username` and `password` are never
written. Where it is immutable, another controller's, or holds anything else, it is not touched: its password is used,
and how to connect is in a Secret of ours, `<cluster>-connection`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aurora_operator.api.base import names, reasons
from aurora_operator.api.base.conditions import PASSWORD_REFUSED
from aurora_operator.api.base.password import PasswordRefused, parse_password
from aurora_operator.planning.contribution import Condition
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.objects.common import Identity, annotation, decode_data, label
from aurora_operator.planning.ownership.whose import controller_of, is_controlled_by

_CHOSEN: Final = frozenset({"username", "password"})


@dataclass(frozen=True)
class Login:
    """What is known of the password, and where the rest goes."""

    secret: str
    """The Secret that says how to connect."""
    owned: bool
    """Whether that Secret is ours whole."""
    password: str | None
    kept: Mapping[str, str]
    """What stays in that Secret as it is, encoded: the value of a user."""
    refused: str | None = None
    """Why what is there cannot be a password."""
    apart: str | None = None
    """Why the Secret with the password is left alone."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Condition PasswordRefused, where it is to be there."""
        if self.refused is None:
            return ()
        return (Condition(PASSWORD_REFUSED, "True", reasons.PASSWORD_REFUSED, self.refused),)


def read_login(there: Raw | None, identity: Identity, username: str, fresh: str) -> Login:
    """`there` is the Secret as it is; `fresh` is the password to use where it has none that anybody chose."""
    app = names.app_secret(identity.name)
    if there is None:
        return Login(app, owned=True, password=fresh, kept={})
    data: Mapping[str, str] = there.get("data") or {}
    ours = is_controlled_by(there, identity.uid)
    apart = _left_alone(there, identity, username)
    secret = app if apart is None else names.connection_secret(identity.name)
    owned = ours if apart is None else True
    if ours and apart is None and "password" not in data:
        return Login(secret, owned=True, password=fresh, kept={})
    kept = {key: data[key] for key in _CHOSEN & data.keys()} if apart is None and not ours else {}
    kept = {"password": data["password"]} if apart is None and ours else kept
    try:
        password = parse_password(base64.b64decode(data["password"], validate=True))
    except KeyError:
        why = "it has no key password"
    except PasswordRefused as error:
        why = str(error)
    except binascii.Error:
        why = "it is not base64"
    else:
        return Login(secret, owned, password, kept, apart=apart)
    text = f"The password in the Secret {app} cannot be used: {why}. The one in force stays. Put another one there."
    return Login(secret, owned, None, kept, refused=text, apart=apart)


def _left_alone(there: Raw, identity: Identity, username: str) -> str | None:
    """Why nothing is written into the Secret, or None."""
    if there.get("immutable"):
        return "it is immutable"
    if is_controlled_by(there, identity.uid):
        return None
    controller = controller_of(there)
    if controller is not None:
        return f"it belongs to {controller.get('kind')} {controller.get('name')}"
    completed = label(there, names.LABEL_CLUSTER) == identity.name and annotation(there, names.ANNOTATION_CLUSTER_UID)
    if not completed and not set(there.get("data") or {}) <= _CHOSEN:
        return "it holds more than a password"
    if decode_data(there).get("username", username) != username:
        return f"its username is not {username}"
    return None
