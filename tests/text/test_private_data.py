"""What is found, what is not, what is checked, and that nothing found is left in a masked text."""

import random

import pytest
from stdnum.kr import rrn

from course_utils.text import private_data

TEXTS = ["Nothing private stands here, though 1,234,567 people in 1999 and 25% of 12.50 dollars do."] * 220


def found(text):
    return [(one.kind, text[one.start : one.end], one.checked) for one in private_data.find(text)]


@pytest.mark.parametrize(
    ("item", "kind", "checked"),
    [
        ("ada.l+x@mail.example.org", "email", False),
        ("https://ada:secret@example.org/a", "url", False),
        ("https://example.com/in?page=2&user_id=17", "url", False),
        ("192.0.2.7", "ipv4", False),
        ("2001:db8::7", "ipv6", False),
        ("2001:0db8:0:0:0:0:0:7", "ipv6", False),
        ("4242 4242 4242 4242", "card", True),
        ("3782-822463-10005", "card", True),
        ("DE89 3704 0044 0532 0130 00", "iban", True),
        ("987-65-4321", "ssn", False),
        ("(202) 555-0123", "phone", True),
        ("+82 10-2345-6789", "phone", True),
        ("02-312-3456", "phone", True),
        ("+1 101-555-0123", "phone", False),  # no area of America begins with 1
        ("971013-9019903", None, None),  # born in 1897
        ("950230-3123456", None, None),  # no such day, and no company's check digit
        ("000000-0000010", None, None),
    ],
)
def test_each_kind_in_a_sentence(item, kind, checked):
    expected = [(kind, item, checked)] if kind else []
    for sentence in ("It is {}, he wrote.", "({})", "1. {}\n2 more", "번호는 {}"):
        assert found(sentence.format(item)) == expected, sentence


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a?page=2",
        "ada@localhost",
        "version 1.2.3, at 12:30:45, std::vector, a::b, ::1",
        "256.1.1.1 and 1.2.3.4.5",
        "4242 4242 4242 4241",
        "DE88 3704 0044 0532 0130 00",
        "000-12-3456 666-12-3456 123-00-4567 123-45-0000",
        "2,000,000 of 1995-2005, 2015-03-12, 3.14159265, $1500000, 1601234567890",
        "0123456789012345678901234567890",
    ],
)
def test_what_looks_alike_is_left(text):
    assert found(text) == []


def test_korean_numbers_with_and_without_a_check_digit_are_told_apart():
    body = "950101312345"
    good = rrn.calc_check_digit(body)
    bad = str((int(good) + 1) % 10)
    assert found(f"{body[:6]}-{body[6:]}{good}")[0][::2] == ("kr_resident", True)
    assert found(f"{body[:6]}-{body[6:]}{bad}")[0][::2] == ("kr_resident", False)
    assert found(body + good)[0][::2] == ("kr_resident", True)
    assert found(body + bad) == []  # thirteen digits in a row that no check digit confirms
    foreign = "950101712345"
    assert private_data.foreigner_check_digit(foreign) == str((int(rrn.calc_check_digit(foreign)) + 2) % 10)
    assert found(f"950101-712345{private_data.foreigner_check_digit(foreign)}")[0][::2] == ("kr_foreigner", True)


def test_a_companys_number_that_is_published():
    assert private_data.company_check_digit("130111000624") == "6"  # Samsung Electronics
    assert found("130111-0006246") == [("kr_company", "130111-0006246", True)]
    assert found("130111-0006247") == []


def test_masked_texts_hold_nothing_that_is_found():
    for kind in private_data.KINDS:
        dice = random.Random(kind)
        for _ in range(50):
            item = private_data.invented(kind, dice)
            masked = private_data.mask(f"Before {item} and after {item}.")
            assert masked == f"Before <{kind}> and after <{kind}>."
            assert private_data.find(masked) == []


def test_a_find_inside_another_counts_once():
    text = "https://ada:pw@example.org/a and 4242424242424242"
    assert [kind for kind, _, _ in found(text)] == ["url", "card"]
    assert private_data.mask(text) == "<url> and <card>"
    assert private_data.mask("none") == "none"


def test_planted_items_are_where_they_are_said_to_be_and_the_same_each_time():
    planted = private_data.plant(TEXTS, seed=3)
    assert planted == private_data.plant(TEXTS, seed=3) != private_data.plant(TEXTS, seed=4)
    for (text, item), original in zip(planted, TEXTS, strict=True):
        assert text[: item.start] + text[item.end + 1 :] == original
    assert {item.kind for _, item in planted} == set(private_data.KINDS)


def test_kinds_with_a_form_are_found_and_names_are_not():
    scores = private_data.score(private_data.plant(TEXTS))
    assert set(scores) == set(private_data.KINDS)
    assert min(min(pair) for pair in scores.values()) >= 0.9
    names = private_data.plant(TEXTS, ("name",))
    assert private_data.score(names)["name"][0] == 0
    assert 0 < private_data.score(names, private_data.capitalised_pairs)["name"][0] < 1


def test_scores_count_what_is_missed_and_what_is_wrong():
    planted = [("a@example.org", private_data.Find("email", 0, 13)), ("Ada", private_data.Find("name", 0, 3))]
    blind, sees_too_much = lambda text: [], lambda text: [private_data.Find("email", 0, 13)]
    assert private_data.score(planted, blind)["email"][0] == 0
    assert private_data.score(planted, sees_too_much)["email"] == (1, 0.5)


def test_a_long_run_of_letters_takes_no_long_time():
    assert found("x" * 200_000 + " @ " + "1" * 200_000) == []
