"""Lines as programs log them: with a secret in them, and without.

Secrets are made up, and put together from parts so that no scanner takes them for real ones.
"""

from typing import NamedTuple


class Leak(NamedTuple):
    """A line, the secret that must not survive, and what must stay of what surrounds it."""

    line: str
    secret: str
    stays: tuple[str, ...] = ()


def body(length: int) -> str:
    """Return letters and digits as a generator of tokens mixes them."""
    return ("a7Kq9ZxW2mTb4RfL8cVd1NhY6sPj3GuE5oQ" * 4)[:length]


def hexadecimal(length: int) -> str:
    return ("3f9a0c7be14d82566b1d" * 8)[:length]


PW = "hunt" + "er2"
AWS_ID = "AK" + "IA" + "IOSFODNN7EXAMPLE"
AWS_KEY = body(13) + "/" + body(7) + "/" + body(18)
GITHUB = "gh" + "p_" + body(36)
GITHUB_FINE = "github_" + "pat_" + body(22) + "_" + body(59)
GITLAB = "glp" + "at-" + body(12) + "-" + body(7)
SLACK = "xo" + "xb-" + "123456789012-" + body(24)
GOOGLE = "AI" + "za" + "SyD-" + body(31)
GOOGLE_OAUTH = "ya" + "29." + body(40)
SENDGRID = "S" + "G." + body(22) + "." + body(43)
OPENAI = "s" + "k-proj-" + body(20) + "_" + body(20)
ANTHROPIC = "s" + "k-ant-api03-" + body(60) + "-AA"
STRIPE = "sk" + "_live_" + body(24)
JWT = "ey" + "JhbGciOiJIUzI1NiJ9." + "ey" + "JzdWIiOiIxMjM0In0." + body(43)
PEM = "-----BEGIN RSA PRIVATE " + "KEY-----"
AZURE = body(43) + "+" + body(42) + "=="
URLSAFE = "dGhpcyBpcyBh-" + body(30)
VISA = "4111 1111 " + "1111 1111"
BASIC = "dXNlcjpwYXNz" + "d29yZA=="

LEAKS = (
    # Assignments
    Leak(f"login failed, password={PW}, user=bob", PW, ("password=", ", user=bob")),
    Leak(f"password: {PW}", PW),
    Leak(f"Password = {PW} for bob", PW, ("for bob",)),
    Leak(f"passwd={PW};host=db", PW, (";host=db",)),
    Leak(f"Server=db;Database=shop;User Id=sa;Pwd={PW};Encrypt=yes", PW, ("Server=db", "Encrypt")),
    Leak(f"passphrase={PW}", PW),
    Leak(f"DB_PASSWORD={PW} python app.py", PW, ("python app.py",)),
    Leak(f"PGPASSWORD={PW} psql -h db", PW, ("psql -h db",)),
    Leak(f"MYSQL_PWD={PW}", PW),
    Leak(f"db_pass={PW}", PW),
    Leak(f"pw={PW}&x=1", PW, ("&x=1",)),
    Leak(f"password -> {PW}", PW),
    Leak(f"HTTP_AUTHORIZATION: Bearer {PW}", PW, ("HTTP_AUTHORIZATION: Bearer ",)),
    Leak(f"password1={PW}&password2={PW}", PW),
    Leak(f"password_confirmation={PW}", PW),
    Leak(f"user[password]={PW}&commit=1", PW, ("&commit=1",)),
    Leak(f"Passwort: {PW}", PW),
    Leak(f"mot de passe : {PW}", PW),
    Leak(f"contraseña={PW}", PW),
    Leak(f"secret = {PW}", PW),
    Leak(f"client_secret={PW}&grant_type=x", PW, ("grant_type=x",)),
    Leak(f"clientSecret: '{PW} {PW}'", PW),
    Leak(f"token={PW}", PW),
    Leak(f"GET /feed?access_token={PW}&page=2 200", PW, ("GET /feed", "&page=2 200")),
    Leak(f"refreshToken => {PW}", PW),
    Leak("api_key=k1, n=2", "k1", (", n=2",)),
    Leak("x-api-key: k1-k2", "k1-k2"),
    Leak(f"apiKey: {PW}", PW),
    Leak(f"access key: {PW}", PW),
    Leak(f"private_key={PW}", PW),
    Leak(f"signing-key: {PW}", PW),
    Leak(f"credentials=bob:{PW}", PW),
    Leak(f"aws_secret_access_key = {AWS_KEY}", AWS_KEY),
    Leak(f"//registry.npmjs.org/:_authToken={PW}", PW, ("//registry.npmjs.org",)),
    Leak(f"token: Bearer {PW}", PW),
    Leak(f"password={PW}.", PW, (".",)),
    Leak(f"connect(user='bob', password={PW})", PW, (")",)),
    Leak("password=p@ss/w0rd!", "ss/w0rd"),
    Leak("otp=482913 accepted", "482913", ("accepted",)),
    Leak('{"cvv": "123"}', "123"),
    Leak(f"SECRET_KEY_BASE={PW}", PW),
    Leak(f'{{"name": "DB_PASSWORD", "value": "{PW}"}}', PW, ('"DB_PASSWORD"',)),
    # Quoted and JSON values, with escapes
    Leak(f'{{"password": "{PW}", "n": 1}}', PW, ('"n": 1',)),
    Leak('{"password": "hunt\\"er2", "n": 1}', "er2", ('"n": 1',)),
    Leak('{"password": "a b c", "n": 1}', "b c", ('"n": 1',)),
    Leak("{'password': 'a\\'b', 'n': 1}", "b'", ("'n': 1",)),
    Leak(f'body={{\\"password\\": \\"{PW}\\", \\"n\\": 1}}', PW, ('\\"n\\": 1',)),
    Leak('{\\"token\\": \\"a\\\\\\"bcd\\", \\"n\\": 1}', "bcd", ('\\"n\\": 1',)),
    Leak(f"Settings(password=b'{PW}', port=1)", PW, ("port=1",)),
    Leak(f'password="{PW} and the rest was cut', PW),
    Leak(f'{{"password": "{PW}\\', PW),
    Leak(f"<password>{PW}</password>", PW, ("<password>", "</password>")),
    Leak(f'<wsse:Password Type="text">{PW}</wsse:Password>', PW),
    # Command lines
    Leak(f"running: app --password {PW} --verbose", PW, ("--verbose",)),
    Leak(f"app --db-password={PW} start", PW, ("start",)),
    Leak(f"argv: ['app', '--token', '{PW}', 'x']", PW, ("'x'",)),
    Leak(f"app --api-key '{PW} {PW}'", PW),
    Leak(f"curl -u bob:{PW} https://example.org/", PW, ("curl -u bob:", "https://example.org/")),
    Leak(f"curl --user 'bob:{PW} x' https://example.org/", f"{PW} x", ("https://example.org/",)),
    Leak(f"args=['curl', '-u', 'bob:{PW}']", PW),
    Leak(f"sshpass -p {PW} ssh host", PW, ("ssh host",)),
    Leak(f"redis-cli -h db -a {PW} ping", PW, ("-h db", "ping")),
    Leak(f"mysqldump -u root -p{PW} shop", PW, ("-u root", "shop")),
    Leak(f"openssl rsa -passin pass:{PW} -in k", PW, ("-in k",)),
    Leak(f"machine db login bob password {PW}", PW, ("login bob",)),
    Leak(f"CREATE USER bob IDENTIFIED BY '{PW}'", PW, ("CREATE USER bob",)),
    Leak(f"ALTER ROLE bob WITH PASSWORD '{PW}' VALID", PW, ("VALID",)),
    Leak(f"requirepass {PW}", PW),
    Leak("AUTH PLAIN AGJvYgBodW50ZXIy", "AGJvYgBodW50ZXIy"),
    # Headers
    Leak("Authorization: Bearer abc.def", "abc.def", ("Authorization: Bearer ",)),
    Leak(f"sent {{'authorization': 'Basic {BASIC}'}}", BASIC, ("'authorization': 'Basic ",)),
    Leak(f"Proxy-Authorization: Basic {BASIC}", BASIC),
    Leak(f'"Authorization": "Token {PW}"', PW),
    Leak(f"headers: [(b'authorization', b'Bearer {PW}')]", PW),
    Leak(f"authorization={PW}", PW),
    Leak(f"AWS4-HMAC-SHA256 Credential={AWS_ID}/20261123/s3/aws4_request", AWS_ID),
    Leak(f"sent with Bearer {body(20)}", body(20), ("sent with Bearer ",)),
    Leak(f"Basic {BASIC} was refused", BASIC, ("was refused",)),
    Leak("Cookie: sessionid=38afes7a8; theme=dark", "38afes7a8", ("Cookie: ",)),
    Leak("Set-Cookie: sid=abc123; Path=/; HttpOnly", "abc123"),
    Leak('"cookie": "a=b; c=deadbeefcafe"', "deadbeefcafe"),
    Leak("X-Amz-Signature=" + hexadecimal(64), hexadecimal(64)),
    Leak("JSESSIONID=" + body(32).upper(), body(32).upper()),
    # URLs
    Leak(f"redis://bob:{PW}@host:6379/0 is away", PW, ("redis://bob:", "@host:6379/0 is away")),
    Leak(f"amqp://:{PW}@mq", PW, ("@mq",)),
    Leak("postgres://bob:p@ss/w0rd@db:5432/shop", "ss/w0rd", ("@db:5432/shop",)),
    Leak("mysql://root:12345@db/shop", "12345", ("@db/shop",)),
    Leak("https://bob:a:b@example.org/x", "a:b", ("@example.org/x",)),
    Leak(f"git clone https://{body(24)}@example.org/r.git", body(24), ("@example.org/r.git",)),
    Leak(f"bob:{PW}@tcp(127.0.0.1:3306)/shop", PW, ("bob:", "@tcp(127.0.0.1:3306)/shop")),
    Leak("https://x.blob.core.windows.net/c?sv=2024&sig=" + body(30) + "%3D", body(30)),
    Leak("posted to https://hooks.slack.com/services/" + f"T0/B0/{body(24)}", body(24)),
    Leak("https://discord.com/api/webhooks/" + f"123456/{body(60)}", body(60)),
    # Tokens as their issuers have them
    Leak(f"using {AWS_ID}", AWS_ID),
    Leak(f"key pair ({AWS_ID}, {AWS_KEY})", AWS_KEY),
    Leak(f"key {GITHUB} used", GITHUB, ("key ", " used")),
    Leak(f"push with {GITHUB_FINE}", GITHUB_FINE),
    Leak(f"remote: {GITLAB} expired", GITLAB, ("expired",)),
    Leak(f"slack says no to {SLACK}", SLACK),
    Leak(f"maps?key={GOOGLE}", GOOGLE),
    Leak(f"got {GOOGLE_OAUTH} from Google", GOOGLE_OAUTH, ("from Google",)),
    Leak(f"mail through {SENDGRID}", SENDGRID),
    Leak(f"Incorrect API key provided: {OPENAI}.", OPENAI),
    Leak(f"x {ANTHROPIC} y", ANTHROPIC, ("x ", " y")),
    Leak(f"charged with {STRIPE}", STRIPE),
    Leak("npm" + f"_{body(36)}", body(36)),
    Leak("pypi" + f"-AgEIcHlwaS5vcmc{body(60)}", body(60)),
    Leak("hvs" + f".{body(24)}", body(24)),
    Leak("dop" + f"_v1_{hexadecimal(64)}", hexadecimal(64)),
    Leak(f"bot123456789:AA{body(33)}/sendMessage", body(33), ("/sendMessage",)),
    Leak(f"tenant secret abc8Q~{body(34)}", body(34)),
    Leak(f"jwt {JWT} expired", JWT, ("jwt ", " expired")),
    Leak(f"DefaultEndpoints;AccountKey={AZURE};EndpointSuffix=x", AZURE, (";EndpointSuffix=x",)),
    Leak(f"Endpoint=sb://x/;SharedAccessKey={AZURE}", AZURE),
    Leak(f"generated {URLSAFE}", URLSAFE, ("generated ",)),
    Leak(f"generated {body(40)} today", body(40), (" today",)),
    # Private keys
    Leak(f"{PEM}\nMIIEowIBAAK\nCAQEA7\n-----END RSA PRIVATE KEY-----\nloaded", "MIIE", ("loaded",)),
    Leak(f"'{PEM}\\nMIIEowIBAAK\\n-----END RSA PRIVATE KEY-----'", "MIIE"),
    Leak(f"key: {PEM} MIIEowIBAAK", "MIIE"),
    # Cards
    Leak(f"card {VISA} declined", VISA, ("card ", " declined")),
    Leak(f"card {VISA}.", VISA, (".",)),
    Leak(f"card={VISA.replace(' ', '-')}, 12/29", VISA.replace(" ", "-"), (", 12/29",)),
    Leak(f"({VISA.replace(' ', '')})", VISA.replace(" ", "")),
    Leak("amex 3782 822463 10005!", "3782 822463 10005"),
)

CUT = (
    (f'login {{"password": "{PW} and more', PW),
    (f"login '{PEM}\\nMIIEowIBAAK", "MIIE"),
    (f"refused {JWT[:60]}", JWT[20:60]),
    (f"refused {JWT[:30]}", JWT[3:30]),
    (f"refused {GITHUB[:18]}", GITHUB[4:18]),
    (f"refused {SLACK[:12]}", SLACK[5:12]),
    (f"refused {OPENAI[:18]}", OPENAI[3:18]),
    (f"using {AWS_ID[:14]}", AWS_ID[4:14]),
    (f"redis://bob:{PW}", PW),
    (f"Cookie: a=b; sid={PW}", PW),
    (f"Authorization: Bearer {PW[:4]}", PW[:4]),
    (f"<password>{PW}</pass", PW),
)
"""Messages that were cut within a secret, and the part of it that is left."""

ORDINARY = (
    # Prose about secrets
    "token expired",
    "token: expired at 12:00",
    "password is too short",
    "password: must be at least 8 characters",
    "Password: incorrect, 2 attempts left",
    "password: 3 attempts left",
    "user logged in with a password",
    "the secret of bob was rotated",
    "secret: not found",
    "api_key: missing",
    "Invalid token: signature has expired",
    "JSON error: unexpected token: } in line 3",
    "Unexpected token: < in JSON at position 0",
    "tokens left: none",
    "max_tokens=100 prompt_tokens=35 total_tokens: 135",
    "token_type=bearer expires_in=3600",
    "password=None",
    'got {"password": null, "token": true}',
    "password=***",
    "password=<hidden>",
    "password=${DB_PASSWORD}",
    "password=SecretStr('**********')",
    "password_reset: mail sent",
    "reset-password: ok",
    "the field 'password' is required",
    "fields: ['username', 'password', 'email']",
    "error: --password is required",
    "usage: app [--token <TOKEN>] --password <PASSWORD>",
    "the option --token-file is deprecated",
    "Access denied for user 'root'@'localhost' (using password: YES)",
    "passwd: password updated successfully",
    "authorization: denied for user 5",
    "Authorization failed for bob",
    "author: Ada Lovelace",
    'WWW-Authenticate: Bearer realm="api"',
    "Bearer of bad news",
    "Bearer token expired",
    "Bearer authentication failed",
    "Basic authentication failed",
    "Basic plan upgraded to Premium",
    "CSRF token missing or incorrect",
    "cookie: missing",
    "no cookies were sent",
    "session 42 of user bob opened",
    "session_id=42 closed",
    "killed by sig=9",
    "primary key: id",
    "key=value",
    "key-42 is missing in bucket-7",
    "missing key-42",
    "monkey-patched 12 functions",
    "private_key=/etc/ssl/me.key",
    "PWD=/srv/app",
    "pass=12 fail=0",
    "first pass: done",
    "bypass=true",
    "Token::new failed",
    "Passwort ist falsch",
    "Kennwort: ungültig",
    "mot de passe : incorrect",
    "Le jeton a expiré",
    "Verbindung zur Datenbank verloren, neuer Versuch in 5 s",
    "Échec de la connexion : délai dépassé",
    "Failed password for root from 10.0.0.1 port 22 ssh2",
    "Accepted publickey for bob: RSA SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
    # Words that are long, and no secrets
    "request 6f1b6e0c-2f1e-4c8e-9d8b-0a4f5d2c7e11 took 3 ms",
    "trace 4bf92f3577b34da6a3ce929d0e0e4736 has no parent",
    "deployed da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "HEAD is now at 9fceb02 Fix the build",
    "image sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 pulled",
    "md5 d41d8cd98f00b204e9800998ecf8427e of an empty file",
    "lodash sha512-v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ+LFTGHVxVjcXPs17LhbZVGedAJv8XZ1t",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq7Zk2v0mXr8Tq4Wc1Yb6Nd3Lf9Hs5Jp7Ka2Ue8Ri0O bob@laptop",
    "tx 0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060 mined",
    "pod payment-service-7d9f8b6c5d-x2k4j is ready",
    "pod kube-system/coredns-5dd5756b68-abcde evicted",
    "stack MyStack-MyFunction-1XG4TQ9ZJ7Y2M updated",
    "test_order_12_is_shipped_when_item_3_was_paid_in_full passed",
    "Base64UrlSafeEncodedKeyProviderFactoryImpl started",
    "org.springframework.security.web.authentication.AnonymousAuthenticationFilter",
    "an-ordinary-but-very-long-hyphenated-word-of-letters",
    "GET /api/v1/customers/12345/orders/67890/items 200",
    "GET /users/507f1f77bcf86cd799439011/posts/507f191e810c19729de860ea 200 in 35 ms",
    "GET /static/js/main.8f3b2c1d.chunk.js 304",
    'File "/usr/lib/python3.11/site-packages/redis/asyncio/connection.py", line 1041, in connect',
    "at com.example.shop.OrderService.place(OrderService.java:143)",
    "Traceback (most recent call last):",
    "ValueError: invalid literal for int() with base 10: 'abc'",
    "java.lang.NullPointerException: Cannot invoke String.length()",
    "/home/bob/projects/shop/node_modules/@babel/core/lib/transformation/index.js",
    "C:\\Users\\bob\\AppData\\Local\\Temp\\build-20261123\\output.log",
    "arn:aws:iam::123456789012:role/service-role/MyLambdaExecutionRole",
    "---------------------------------------- end of the report",
    "================================================ 12 passed in 3.4s",
    "-----BEGIN CERTIFICATE----- was expected",
    # Numbers
    "payment declined for order 12345678: the issuer did not respond",
    "order 4111111111111112 shipped",
    "order 20261123211058123 accepted",
    "at 1795468258123456789 ns",
    "at 2026-11-23T21:10:58.123456",
    "2026-11-23 21:10:58,123 INFO started in 1234 ms",
    "call +49 30 1234 5678 or 0800 123 4567",
    "10 20 30 40 50 60 70 80",
    "IBAN DE89370400440532013000 rejected",
    "version 1.2.3-rc.4+build.567",
    "5 of 12 workers busy, 0.35 s",
    "request 42 took 35 ms",
    # Addresses
    "listening on http://0.0.0.0:8080",
    "connect to redis://localhost:6379/0 failed",
    "tried redis://localhost:6379, redis://backup:6379, giving up",
    "redis://localhost:6379/0?client_name=bob@web",
    "http://[::1]:8080/users/ada@example.org",
    "GET https://example.org/@bob/posts",
    "mail from ada@example.org to bob@example.org",
    "peer fe80::1ff:fe23:4567:890a is away",
    "from 2001:0db8:85a3:0000:0000:8a2e:0370:7334 port 22",
    "git@github.com:org/repo.git",
    "docker run -u 1000:1000 image",
    "journalctl -u nginx.service: no entries",
    "kubectl get pods -n shop -o wide",
    "mysql server has gone away",
    # Names that begin like a token
    "task-scheduler-worker-12 started",
    "sk-SK is no supported locale",
    "npm_config_user_agent is set",
    "hf_model_name_for_classification",
    "ASIA and EUROPE",
    "Aizawa",
    "eyJ",
    "ghp_",
    "SG. is a country code",
    "ratio 1//0",
    "risk=low mask=255.255.255.0",
    # What is already taken out
    "password=<redacted>",
    "redis://bob:<redacted>@host",
    "Authorization: Bearer <redacted>",
)
