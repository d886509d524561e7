"""Finds private data by its form and masks it: patterns, check digits, and two libraries that know the countries.

A find is *checked* when more than its look speaks for it: a check digit that fits or, for a telephone number, the list
of numbers that a country gives out. E-mail, IP addresses and US social security numbers have nothing to check. Korean
resident numbers have no check digit since October 2020: one that does not fit is reported all the same, as unchecked.
Foreigners' numbers and companies' registration numbers share their shape.

Names are not found: no form tells "Will" from "will". `capitalised_pairs` is the baseline that shows how far one gets.
"""

import ipaddress
import random
import re
from typing import NamedTuple

import phonenumbers
from stdnum import iban, luhn
from stdnum.exceptions import ValidationError
from stdnum.kr import rrn

REGIONS = ("US", "KR")  # whose numbers are read without a country code


class Find(NamedTuple):
    """A private item: what it is, text[start:end], and whether a check digit or a list confirms it."""

    kind: str
    start: int
    end: int
    checked: bool = False


def _digits(text):
    return re.sub(r"\D", "", text)


# Each check takes the text of a match and gives (kind, checked), or None when it is nothing private.


def _email(text):
    return "email", False


def _url(text):
    return "url", False


def _ipv4(text):
    return ("ipv4", False) if all(int(number) < 256 for number in text.split(".")) else None


def _ipv6(text):
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return None
    return ("ipv6", False) if len(re.findall(r"\w+", text)) > 2 else None  # ::1 is nobody's, a::b is code


def _iban(text):
    return ("iban", True) if iban.is_valid(text) else None  # mod 97, and the length that the country uses


def _card(text):
    return ("card", True) if luhn.is_valid(_digits(text)) else None


def _ssn(text):
    area, group, serial = text.split("-")  # areas from 900 on are taxpayers' numbers of the same form
    return None if area in ("000", "666") or group == "00" or serial == "0000" else ("ssn", False)


def _kr_number(text):
    """The date of birth says whether it is a person, the seventh digit whether a foreigner; else a company's."""
    digits = _digits(text)
    try:
        rrn.get_birth_date(digits)
        person = digits[6] in "12345678"  # 9 and 0 are for who was born before 1900
    except ValidationError:
        person = False
    if not person:
        return ("kr_company", True) if company_check_digit(digits) == digits[12] else None
    foreign = digits[6] in "5678"
    checked = digits[12] == (foreigner_check_digit(digits) if foreign else rrn.calc_check_digit(digits[:12]))
    if not checked and "-" not in text:
        return None  # thirteen digits in a row are more often something else
    return "kr_foreigner" if foreign else "kr_resident", checked


def foreigner_check_digit(digits):
    """The last digit of a Korean foreigner's number, of its first twelve."""
    # (13 − Σ w_i·d_i mod 11) mod 10, w = 2 … 9, 2 … 5; a citizen's has 11 for 13
    weights = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
    return str((13 - sum(w * int(d) for w, d in zip(weights, digits[:12], strict=True)) % 11) % 10)


def company_check_digit(digits):
    """The last digit of a Korean company's registration number, of its first twelve."""
    # −Σ w_i·d_i mod 10, w = 1, 2, 1, 2 …
    return str(-sum(int(d) * (1 + place % 2) for place, d in enumerate(digits[:12])) % 10)


def _phone(text):
    for region in REGIONS[: 1 if text.startswith("+") else None]:
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return "phone", True
    return ("phone", False) if text[0] in "+(0" and WRITTEN_AS_PHONE.fullmatch(text) else None


WRITTEN_AS_PHONE = re.compile(
    r"(?:\+\d{1,3}[ .-])?(?:\(\d{2,4}\) ?\d{3,4}[ .-]|\d{2,4}(?P<sep>[ .-])\d{3,4}(?P=sep))\d{4}"
)
SECRETS = "user|login|email|token|session|password|key"
SEVEN_DIGITS = r"(?:\d\D{0,2}){6}\d"
# (what must stand in a text, pattern, check); where two finds overlap, the one that stands here first counts
FORMS = tuple(
    (re.compile(needed), re.compile(pattern), check)
    for needed, pattern, check in (
        ("://", r"\bhttps?://[^\s/@:]+:[^\s/@]+@[^\s<>\"]*[\w/]", _url),
        ("://", rf"\bhttps?://[^\s<>\"?]+\?[^\s<>\"]*\b(?:{SECRETS})\w*=[^\s<>\"]*[\w/=-]", _url),
        ("@", r"(?<![\w.+%-])[\w.+%-]+@(?:[\w-]+\.)+[^\W\d_]{2,}", _email),
        (r":[0-9A-Fa-f]{0,4}:", r"(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", _ipv6),
        (SEVEN_DIGITS, r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", _iban),
        (SEVEN_DIGITS, r"(?<![\d-])\d{6}-?\d{7}(?![\d-])", _kr_number),
        (SEVEN_DIGITS, r"(?<![\d-])[2-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{1,7}(?![\d-])", _card),
        (SEVEN_DIGITS, r"(?<![\d-])3\d{3}[ -]\d{6}[ -]\d{5}(?![\d-])", _card),  # as American Express groups them
        (SEVEN_DIGITS, r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])", _ssn),
        (r"\d\.\d+\.\d", r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\d)", _ipv4),
        (
            SEVEN_DIGITS,  # written as one, or with the 0 or + that one begins with and given out by the country
            rf"(?<![\w.,/$€£-])(?:{WRITTEN_AS_PHONE.pattern}|(?:\+|0)\d[\d ().-]{{5,15}}\d)(?![\w%/-]|[.,]\d)",
            _phone,
        ),
    )
)
NEEDED = {needed for needed, _, _ in FORMS}
KINDS = ("email", "url", "ipv4", "ipv6", "card", "iban", "ssn", "phone", "kr_resident", "kr_foreigner", "kr_company")


def find(text):
    """The private items of a text, as a list of Find in their order; none overlap."""
    present, found = {needed for needed in NEEDED if needed.search(text)}, []
    for pattern, check in [(pattern, check) for needed, pattern, check in FORMS if needed in present]:
        for match in pattern.finditer(text):
            start, end = match.span()
            kind = check(match.group())
            if kind and not any(one.start < end and start < one.end for one in found):
                found.append(Find(kind[0], start, end, kind[1]))
    return sorted(found, key=lambda one: one.start)


def mask(text, found=None):
    """The text with `<kind>` in the place of each Find, those of `find` by default."""
    parts, after = [], 0
    for one in find(text) if found is None else found:
        parts += [text[after : one.start], f"<{one.kind}>"]
        after = one.end
    return "".join([*parts, text[after:]])


CAPITALISED = re.compile(r"(?<=[\w,;] )[A-Z][a-z]+ [A-Z][a-z]+\b")


def capitalised_pairs(text):
    """A baseline for names: two capitalised words that begin no sentence. It finds New York, and no lower-case name."""
    return [Find("name", *match.span()) for match in CAPITALISED.finditer(text)]


CARDS = ("4242 4242 4242 4242", "4111-1111-1111-1111", "5555555555554444", "378282246310005", "6011 1111 1111 1117")
FIRST, LAST = ("Minji", "Ada", "Omar", "Jun", "Elena"), ("Kim", "Okafor", "Lindqvist", "Park", "Haddad")


def invented(kind, dice):
    """An item of a kind that belongs to nobody: documentation ranges, test cards, births after 2089.

    Args:
        kind: one of KINDS, or "name".
        dice: a random.Random.
    """
    n, year, late = (
        dice.randrange(100),
        dice.randrange(90, 100),
        f"{dice.randrange(1, 13):02}{dice.randrange(1, 29):02}",
    )
    body = f"{year}{late}{dice.choice('34' if kind == 'kr_resident' else '78')}{dice.randrange(10**5):05}"
    office = f"0000{dice.randrange(10**8):08}"
    account = f"TEST{dice.randrange(10**14):014}"
    return {
        "email": f"{dice.choice(FIRST).lower()}.{n}@example.{dice.choice(('org', 'com', 'net'))}",
        "url": f"https://{dice.choice(('u:pw@example.org/a', 'example.com/a?user_id='))}{n}",
        "ipv4": f"{dice.choice(('192.0.2', '198.51.100', '203.0.113'))}.{n}",
        "ipv6": f"2001:db8:{n:x}::{n + 1:x}",
        "card": dice.choice(CARDS),
        "iban": f"GB{iban.calc_check_digits('GB00' + account)}{account}",
        "ssn": f"987-65-43{20 + n % 10}",
        "phone": dice.choice(
            (f"(202) 555-01{n:02}", f"+1 415-555-01{n:02}", f"312.555.01{n:02}", f"010-0000-00{n:02}")
        ),
        "kr_resident": f"{body[:6]}-{body[6:]}{dice.choice((rrn.calc_check_digit(body), n % 10))}",
        "kr_foreigner": f"{body[:6]}-{body[6:]}{foreigner_check_digit(body)}",
        "kr_company": f"{office[:6]}-{office[6:]}{company_check_digit(office)}",
        "name": dice.choice((f"{dice.choice(FIRST)} {dice.choice(LAST)}", dice.choice(FIRST))),
    }[kind]


def plant(texts, kinds=KINDS, seed=0):
    """One invented item in each text, at a space, the kinds in turn.

    Returns:
        [(text, Find)]: where it stands; `checked` says nothing here.
    """
    dice, planted = random.Random(seed), []
    for number, text in enumerate(texts):
        kind = kinds[number % len(kinds)]
        item = invented(kind, dice)
        place = dice.choice([match.end() for match in re.finditer(r"^|\s", text)])
        planted.append((f"{text[:place]}{item} {text[place:]}", Find(kind, place, place + len(item))))
    return planted


def score(planted, finder=find):
    """{kind: (recall, precision)}: planted items found with kind and place, and finds that were planted ones.

    The texts must hold nothing private besides, or precision comes out too low. nan where there is nothing to count.
    """
    counts = {}
    for text, item in planted:
        for one in finder(text):
            counts.setdefault(one.kind, []).append((False, one[:3] == item[:3]))
        counts.setdefault(item.kind, []).append((True, any(one[:3] == item[:3] for one in finder(text))))
    shares = {}
    for kind, rows in counts.items():
        sides = [[hit for wanted, hit in rows if wanted is side] for side in (True, False)]
        shares[kind] = tuple(sum(side) / len(side) if side else float("nan") for side in sides)
    return shares
