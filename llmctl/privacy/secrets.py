"""Keys and tokens: by their makers' forms, and values of high entropy beside words such as `password`.

The search for a maker's form starts with a plain search for its fixed letters, so that a text without
any costs next to nothing. Every repetition is bounded, and no form can start inside another's body:
the time is linear in the text's length whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice

from llmctl.privacy.entropy import is_mixed, is_random, is_secret_like
from llmctl.privacy.span import Span

_AFTER = r"(?![A-Za-z0-9_-])"
_FORMS: tuple[tuple[str, str], ...] = (
    ("sk-", rf"[A-Za-z0-9_-]{{16,250}}{_AFTER}"),  # OpenAI, Anthropic, OpenRouter, DeepSeek
    ("AKIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),  # AWS
    ("ASIA", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("ghp_", r"[A-Za-z0-9]{36,255}"),  # GitHub
    ("gho_", r"[A-Za-z0-9]{36,255}"),
    ("ghu_", r"[A-Za-z0-9]{36,255}"),
    ("ghs_", r"[A-Za-z0-9]{36,255}"),
    ("ghr_", r"[A-Za-z0-9]{36,255}"),
    ("github_pat_", r"[A-Za-z0-9_]{22,255}"),
    ("AIza", r"[A-Za-z0-9_-]{35}"),  # Google
    ("ya29.", r"[A-Za-z0-9_.-]{20,1000}"),
    ("GOCSPX-", r"[A-Za-z0-9_-]{20,60}"),
    ("xox", r"[abeoprs]-[A-Za-z0-9-]{10,250}"),  # Slack
    ("xapp-", r"[A-Za-z0-9-]{20,250}"),
    ("https://hooks.slack.com/", r"[a-z]{5,12}/[A-Za-z0-9+/]{20,120}"),
    ("sk_live_", r"[A-Za-z0-9]{16,250}"),  # Stripe
    ("sk_test_", r"[A-Za-z0-9]{16,250}"),
    ("rk_live_", r"[A-Za-z0-9]{16,250}"),
    ("rk_test_", r"[A-Za-z0-9]{16,250}"),
    ("whsec_", r"[A-Za-z0-9+/=]{24,250}"),
    ("hf_", r"[A-Za-z0-9]{30,60}"),  # Hugging Face
    ("npm_", r"[A-Za-z0-9]{36}"),
    ("pypi-", r"[A-Za-z0-9_-]{50,500}"),
    ("glpat-", r"[A-Za-z0-9_.-]{20,300}"),  # GitLab
    ("gsk_", r"[A-Za-z0-9]{30,100}"),  # Groq
    ("xai-", r"[A-Za-z0-9]{30,120}"),
    ("pplx-", r"[A-Za-z0-9]{30,100}"),  # Perplexity
    ("r8_", r"[A-Za-z0-9]{30,60}"),  # Replicate
    ("SG.", r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,64}"),  # SendGrid
    ("dop_v1_", r"[a-f0-9]{64}"),  # DigitalOcean
    ("shpat_", r"[a-fA-F0-9]{32}"),  # Shopify
    ("dckr_pat_", r"[A-Za-z0-9_-]{20,60}"),  # Docker
    ("dapi", r"[a-f0-9]{32}(?:-\d)?"),  # Databricks
    ("hvs.", r"[A-Za-z0-9_-]{24,250}"),  # Vault
    ("AGE-SECRET-KEY-1", r"[A-Z0-9]{58}"),
    ("eyJ", r"[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{0,2000}"),  # JWT
)


@cache
def _form(head: str) -> re.Pattern[str]:
    return re.compile(f"{re.escape(head)}(?<![A-Za-z0-9_-]{re.escape(head)}){dict(_FORMS)[head]}")


_HEADS = {sign: [head for head, _ in _FORMS if sign in head] for sign in ("_", "-")}
_PLAIN_HEADS = [head for head, _ in _FORMS if "_" not in head and "-" not in head]
"""One look for a sign spares a look for every form that has it."""


def secrets(text: str) -> Iterable[Span]:
    """Keys, tokens, private keys, passwords in addresses, and passwords beside their name."""
    heads = [head for head in _PLAIN_HEADS if head in text]
    for sign, signed in _HEADS.items():
        if sign in text:
            heads += [head for head in signed if head in text]
    lower = text.lower() if text.isascii() else text.replace("İ", "I").lower()  # İ is longer in lower case
    stems = [stem for stem in (_ASCII_STEMS if text.isascii() else _STEMS) if stem in lower]
    if heads or stems or "://" in text or "-----BEGIN" in text:
        return _secrets(text, lower, heads, stems)
    return ()


def _secrets(text: str, lower: str, heads: list[str], stems: list[str]) -> Iterator[Span]:
    for head in heads:
        for match in _form(head).finditer(text):
            body = match[0][len(head) :]
            if head not in _WORDLIKE or (head in _MADE and _MADE[head].match(body)) or is_random(body):
                yield Span("secret", match.start(), match.end(), match[0])
    if "-----BEGIN" in text:
        yield from _private_keys(text)
    if "://" in text:
        yield from _in_addresses(text)
    if stems and len(lower) == len(text):
        yield from _named(text, lower, stems)


_WORDLIKE = frozenset(("sk-", "xapp-", "xox", "pypi-", "xai-", "pplx-", "hvs."))
"""Heads that words begin with too: what follows must look random."""

_MADE = {
    "sk-": re.compile(r"(?:ant-|proj-|or-v1-|svcacct-|admin-|lf-|[a-z]{0,6}-?[A-Za-z0-9]{24})"),
    "xox": re.compile(r"[a-z]-\d{9}"),
}
"""How no word goes on after a head: a maker's mark, a team's number, letters and digits without end."""

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_CUT_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,-]{0,65536}")


def _private_keys(text: str) -> Iterator[Span]:
    """PEM and PGP private keys; one that is cut off before its end counts as far as its body goes."""
    ends = [match.span() for match in _END.finditer(text)]
    n = done = 0
    for match in _BEGIN.finditer(text):
        if match.start() < done:
            continue
        while n < len(ends) and ends[n][0] < match.end():
            n += 1
        if n < len(ends) and ends[n][0] - match.end() <= 65_536:
            done = ends[n][1]
        else:
            body = _CUT_BODY.match(text, match.end())
            done = body.end() if body else match.end()
        yield Span("secret", match.start(), done, text[match.start() : done])


_USER_PASSWORD = re.compile(r"://[^\s:/@'\"<>]{0,128}:([^\s/@'\"<>]{1,256})@")
_USER_TOKEN = re.compile(r"://([A-Za-z0-9_-]{20,256})@")
_EXAMPLE = re.compile(
    r"(?:pass(?:word|wd)?|pwd|secret|token|example|changeme|x+|\*+|\.+|your\S*|none|null|true|false)\Z",
    re.IGNORECASE,
)


def _in_addresses(text: str) -> Iterator[Span]:
    """The password of `scheme://user:password@host`, or the token in the user's place."""
    for form in (_USER_PASSWORD, _USER_TOKEN):
        for match in form.finditer(text):
            value = match[1]
            if not _EXAMPLE.match(value) and value[0] not in "${<%[":
                yield Span("secret", match.start(1), match.end(1), value)


_STEMS = (
    *("pass", "pwd", "secret", "token", "key", "credential", "bearer", "authorization"),
    *(
        "kennwort",
        "zugangs",
        "geheim",
        "mdp",
        "clé",
        "jeton",
        "contrase",
        "clave",
        "senha",
        "chave",
        "parola",
    ),
    *("wachtwoord", "hasło", "haslo", "sifre", "şifre", "lösenord", "пароль", "ключ", "токен", "секрет"),
    *(
        "密码",
        "密碼",
        "口令",
        "密钥",
        "令牌",
        "パスワード",
        "暗証",
        "秘密",
        "トークン",
        "비밀번호",
        "암호",
        "토큰",
    ),
    *("المرور", "السر", "पासवर्ड"),
)
"""Plain beginnings of the names below: a text without any of them needs no closer look."""

_ASCII_STEMS = tuple(stem for stem in _STEMS if stem.isascii())
_NAME = (
    r"pass(?:words?|wd|phrase|code|wort|e)?|pwd|kennwort|zugangs(?:schlüssel|code|daten)|geheim(?:nis|schlüssel)|mdp"
    r"|clé(?:s)?(?: (?:api|d['’]api|secrète|privée))?|contrase(?:ña|na)|clave|senha|chave"
    r"|parola(?: d['’]ordine)?|wachtwoord|has[łl]o|[sş]ifre(?:si|m|niz)?|lösenord(?:et)?|secret|token"
    r"|credentials?|bearer|authorization|jeton"
    r"|пароль|ключ|токен|секрет|密[码碼]|口令|密钥|令牌|パスワード|暗証番号|秘密鍵|トークン|비밀번호|암호|토큰"
    r"|المرور|السر|पासवर्ड"
)
_STOPS = ".,;:)]}…।"
_KEY = (
    r"(?<=api[ _-])key|(?<=api)key|(?<=access[ _-])key|(?<=account)key|(?<=auth[ _-])key|(?<=private[ _-])key"
)
_FIRM = re.compile(
    r"pass|pwd|kennwort|contrase|senha|wachtwoord|has[łl]o|[sş]ifre|lösenord|mdp|parola|пароль|密[码碼]"
    r"|パスワード|비밀번호|المرور|السر|पासवर्ड"
)
_IS = (
    r"is now|is|lautet|ist|est|es|è|é|är|er|jest|to|it's|set to|will be|będzie|this|—|–|-"
    r"|это|为|是|は|는|은|هي|هو|है"
)


@cache
def _rules() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """The name of a secret at a place, what ties a value directly to it, and a value."""
    name = re.compile(rf"(?:{_NAME}|{_KEY})(?![a-zäöüßéèñ])(?:[_-][a-z0-9]{{1,20}}){{0,4}}")
    direct = re.compile(
        rf"[\"'`\])*]{{0,3}}\s{{0,4}}(?:=>|:=|==?|[:：＝]|(?:{_IS})(?=[\s:\"'`“«「]|(?<=[^\x00-\x7f])))"
        r"[\s:：]{0,4}[\"'`“«「(]{0,2}(?:(?:bearer|basic) )?",
    )
    value = re.compile(r"[^\s\"'`<>«»“”「」，。；、]{4,512}")
    return name, direct, value


def _named(text: str, lower: str, stems: list[str]) -> Iterator[Span]:
    name, _, _ = _rules()
    names: list[re.Match[str]] = []
    for at in sorted({match.start() for match in re.finditer("|".join(map(re.escape, stems)), lower)}):
        match = name.match(lower, at) if not names or at >= names[-1].end() else None
        if match:
            names.append(match)
    for n, match in enumerate(names):
        most = _reach(text, names[n + 1]) if n + 1 < len(names) else len(text)
        yield from _value_beside(text, lower, match, most)


def _reach(text: str, after: re.Match[str]) -> int:
    """How far the name before `after` is looked for a value: `after` looks further itself.

    A name that is glued to letters or digits before it may be the middle of a value.
    """
    start = after.start()
    glued = text[start - 1].isascii() and text[start - 1].isalnum()
    return len(text) if glued else start


def _value_beside(text: str, lower: str, name: re.Match[str], most: int) -> Iterator[Span]:
    """A value tied to the name by a sign or `is`; else the first random word among the next six."""
    _, direct, value = _rules()
    firm = _FIRM.match(name[0]) is not None
    tie = direct.match(lower, name.end())
    bearer = name[0] in ("bearer",)
    start = tie.end() if tie else name.end() + 1 if bearer else -1
    if start >= 0 and (match := value.match(text, start)):
        found = match[0].rstrip(_STOPS)
        if is_secret_like(found, firm):
            yield Span("secret", start, start + len(found), found)
            return
    if firm and not tie and (match := value.match(text, name.end() + 1, most)):
        found = match[0].rstrip(_STOPS)
        if is_mixed(found):
            yield Span("secret", match.start(), match.start() + len(found), found)
            return
    end = min(most, name.end() + 90)
    for word in islice(value.finditer(text, name.end(), end), 6):
        found = word[0].rstrip(_STOPS)
        if word.end() < end or end == most:
            start = word.start() + len(found) - len(found.lstrip("([{"))
            found = found.lstrip("([{")
            if is_random(found):
                yield Span("secret", start, start + len(found), found)
                return
