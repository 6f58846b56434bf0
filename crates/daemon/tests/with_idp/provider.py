"""An identity provider made of Authlib: it checks secrets, assertions and codes for real and signs tokens as RFC 9068 has them.

usage: provider.py FOLDER PORT

FOLDER has clients.json, server.pem and server.key. What a person does in a browser, and what goes wrong, a test does under /test/.
"""

import json
import pathlib
import secrets
import sys
import threading
import time

# Its clock may be another one than ours: all that follows looks at this one.
skew, right_time = [0], time.time
time.time = lambda: right_time() + skew[0]

import flask
import werkzeug.serving
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6749.errors import AccessDeniedError, InvalidClientError, InvalidGrantError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialMixin
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
issuer = f"https://localhost:{port}"
settings = json.loads((folder / "clients.json").read_text())

app = flask.Flask("provider")
state = {"keys": [RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"}, private=True)], "trouble": "none", "withdrawn": False}
refresh_tokens, devices, used_numbers = {}, {}, set()
lock = threading.RLock()


class User:
    def __init__(self, name):
        self.name = name

    def get_user_id(self):
        return self.name


class Client(ClientMixin):
    def __init__(self, client_id, about):
        self.client_id, self.about = client_id, about

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(word for word in (scope or "").split() if word in self.about["scopes"])

    def check_client_secret(self, secret):
        return secrets.compare_digest(self.about.get("secret") or secrets.token_hex(), secret)

    def check_endpoint_auth_method(self, method, endpoint):
        if self.about.get("certificate"):
            return method == JWTBearerClientAssertion.CLIENT_AUTH_METHOD
        return method == ("client_secret_post" if self.about.get("secret") else "none")

    def check_grant_type(self, grant):
        return grant in self.about["grants"]


def client_of(client_id):
    about = settings["clients"].get(client_id)
    return Client(client_id, about) if about else None


def public_key(about):
    key = x509.load_pem_x509_certificate((folder / about["certificate"]).read_bytes()).public_key()
    return RSAKey.import_key(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


class Tokens(JWTBearerTokenGenerator):
    def get_jwks(self):
        return KeySet(state["keys"])

    def get_audiences(self, client, user, scope):
        return ["https://mail.test"]

    def get_extra_claims(self, client, grant_type, user, scope):
        return {"upn": user.name if user else client.about["mailbox"], "roles": ["SMTP.SendAsApp"], "nbf": int(time.time())}


class Refresh(TokenMixin):
    def __init__(self, client_id, scope, user):
        self.client_id, self.scope, self.user = client_id, scope, user

    def check_client(self, client):
        return client.client_id == self.client_id

    def get_scope(self):
        return self.scope

    def get_expires_in(self):
        return 3600

    def is_expired(self):
        return False

    def is_revoked(self):
        return False

    def get_user(self):
        return self.user

    def get_client(self):
        return client_of(self.client_id)


def save_token(token, request):
    if token.get("refresh_token"):
        refresh_tokens[token["refresh_token"]] = Refresh(request.client.client_id, token.get("scope", ""), request.user)


class RefreshTokenGrant(grants.RefreshTokenGrant):
    # Each is good once.
    INCLUDE_NEW_REFRESH_TOKEN = True
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", "none"]

    def authenticate_refresh_token(self, refresh_token):
        self.shown = refresh_token
        return refresh_tokens.get(refresh_token)

    def authenticate_user(self, refresh_token):
        return refresh_token.user

    def revoke_old_credential(self, refresh_token):
        refresh_tokens.pop(self.shown, None)


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post", JWTBearerClientAssertion.CLIENT_AUTH_METHOD]


class ByCertificate(JWTBearerClientAssertion):
    def get_audiences(self):
        return [f"{issuer}/token"]

    def process_assertion_claims(self, assertion, key):
        headers, _ = self.extract_assertion(assertion)
        # As Microsoft Entra ID wants it.
        if headers.get("alg") != "PS256" or not headers.get("x5t#S256"):
            raise InvalidClientError(description="not PS256 with x5t#S256")
        try:
            claims = jwt.decode(assertion, key, algorithms=["PS256"]).claims
        except JoseError as error:
            raise InvalidClientError(description="AADSTS700027: Client assertion failed signature validation.") from error
        self.verify_claims(claims)
        return claims

    def validate_jti(self, claims, number):
        new = number not in used_numbers
        used_numbers.add(number)
        return new

    def resolve_client_public_key(self, client):
        return public_key(client.about)


class ServiceAccountGrant(JWTBearerGrant):
    def process_assertion_claims(self, assertion):
        claims = super().process_assertion_claims(assertion)
        # As Google has it: the scope is signed, too.
        if claims.get("scope") not in client_of(claims["iss"]).about["scopes"]:
            raise InvalidGrantError(description="Client is unauthorized to retrieve access tokens using this method")
        return claims

    def get_audiences(self):
        return [f"{issuer}/token"]

    def resolve_issuer_client(self, name):
        return client_of(name)

    def resolve_client_public_key(self, client):
        return public_key(client.about)

    def authenticate_user(self, subject):
        return User(subject)

    def has_granted_permission(self, client, user):
        return user.name in client.about["acts_for"]


class Device(DeviceCredentialMixin):
    def __init__(self, client_id, scope, data):
        self.client_id, self.scope, self.code = client_id, scope, data["user_code"]
        self.until, self.answer, self.asked = time.time() + data["expires_in"], None, 0.0

    def get_client_id(self):
        return self.client_id

    def get_scope(self):
        return self.scope

    def get_user_code(self):
        return self.code

    def is_expired(self):
        return time.time() > self.until


class DeviceEndpoint(DeviceAuthorizationEndpoint):
    EXPIRES_IN, INTERVAL = 60, 1
    CLIENT_AUTH_METHODS = ["none"]

    def get_verification_uri(self):
        return f"{issuer}/device-log-in"

    def save_device_credential(self, client_id, scope, data):
        devices[data["device_code"]] = Device(client_id, scope, data)


class DeviceGrant(DeviceCodeGrant):
    def query_device_credential(self, device_code):
        return devices.get(device_code)

    def query_user_grant(self, user_code):
        device = next(device for device in devices.values() if device.code == user_code)
        if device.answer is None:
            return None
        if device.answer == "":
            raise AccessDeniedError()
        return User(device.answer), True

    def should_slow_down(self, credential):
        early = time.time() - credential.asked < DeviceEndpoint.INTERVAL * 0.8
        credential.asked = time.time()
        return early


server = AuthorizationServer(app, query_client=client_of, save_token=save_token)
server.register_token_generator("default", Tokens(
    issuer=issuer, alg="RS256", expires_generator=lambda *_: settings["life"],
    refresh_token_generator=lambda **_: secrets.token_urlsafe(40)))
server.register_client_auth_method(JWTBearerClientAssertion.CLIENT_AUTH_METHOD, ByCertificate())
for grant in (ClientCredentialsGrant, RefreshTokenGrant, ServiceAccountGrant, DeviceGrant):
    server.register_grant(grant)
server.register_endpoint(DeviceEndpoint)


@app.before_request
def trouble():
    if flask.request.path.startswith("/test/"):
        return None
    with (folder / "asked").open("a") as asked:
        asked.write(f"{flask.request.path} {flask.request.form.get('grant_type', '')}\n")
    while state["trouble"] == "slow":
        time.sleep(0.02)
    kind = state["trouble"]
    if kind == "html":
        return "<html><body>Please log in to the network</body></html>", 200
    if kind == "down":
        return flask.jsonify(error="temporarily_unavailable"), 503
    return None


@app.post("/token")
def token():
    with lock:
        return server.create_token_response()


@app.post("/device")
def device():
    return server.create_endpoint_response(DeviceEndpoint.ENDPOINT_NAME)


@app.get("/.well-known/openid-configuration")
def configuration():
    return flask.jsonify(issuer=issuer, jwks_uri=f"{issuer}/keys", token_endpoint=f"{issuer}/token")


@app.get("/keys")
def keys():
    return flask.jsonify(KeySet(state["keys"]).as_dict(private=False))


@app.get("/introspect")
def introspect():
    """RFC 7662, as Dovecot asks: is it one of ours, and good?"""
    try:
        claims = jwt.decode(flask.request.args["token"], KeySet(state["keys"]), algorithms=["RS256"]).claims
    except (JoseError, ValueError):
        return flask.jsonify(active=False)
    return flask.jsonify(active=not state["withdrawn"] and claims["exp"] > time.time(), **claims)


@app.post("/test/agree/<code>/<name>")
def agree(code, name):
    """A person enters the code; `nobody` says no."""
    next(device for device in devices.values() if device.code == code).answer = "" if name == "nobody" else name
    return ""


@app.post("/test/refresh-token/<client_id>/<name>")
def first_refresh_token(client_id, name):
    """One that was obtained elsewhere."""
    token = secrets.token_urlsafe(40)
    refresh_tokens[token] = Refresh(client_id, settings["clients"][client_id]["scopes"][0], User(name))
    return token


@app.post("/test/revoke")
def revoke():
    with lock:
        refresh_tokens.clear()
    return ""


@app.post("/test/rotate")
def rotate():
    """Another key signs from now on, and the old one is gone."""
    state["keys"] = [RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "alg": "RS256", "use": "sig"}, private=True)]
    return ""


@app.post("/test/clock/<seconds>")
def clock(seconds):
    """The clock is that much ahead of the right time, or behind it."""
    skew[0] = int(seconds)
    return ""


@app.post("/test/withdrawn/<word>")
def withdrawn(word):
    """All tokens that there are count for nothing (yes), or do again (no)."""
    state["withdrawn"] = word == "yes"
    return ""


@app.post("/test/secret/<client_id>/<secret>")
def secret(client_id, secret):
    settings["clients"][client_id]["secret"] = secret
    return ""


@app.post("/test/trouble/<kind>")
def set_trouble(kind):
    state["trouble"] = kind
    return ""


if __name__ == "__main__":
    certificate = (str(folder / "server.pem"), str(folder / "server.key"))
    werkzeug.serving.make_server("127.0.0.1", port, app, threaded=True, ssl_context=certificate).serve_forever()
