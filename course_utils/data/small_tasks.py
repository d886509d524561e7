"""Two small tasks with exact answers, for prompts: dates in another notation, and English words in Korean."""

import random

MONTHS = ["January", "February", "March", "April", "May", "June"]
MONTHS += ["July", "August", "September", "October", "November", "December"]
KOREAN = (
    "water 물, fire 불, tree 나무, house 집, dog 개, cat 고양이, book 책, sun 해, "
    "moon 달, star 별, rice 밥, school 학교, friend 친구, mother 어머니, father 아버지, love 사랑, "
    "time 시간, money 돈, road 길, sea 바다, mountain 산, sky 하늘, flower 꽃, snow 눈, "
    "rain 비, milk 우유, bread 빵, heart 마음, person 사람, teacher 선생님, hand 손, eye 눈, "
    "nose 코, tea 차, door 문, wind 바람, night 밤, morning 아침, evening 저녁, today 오늘"
)


def dates(count=40, *, seed=0):
    """Pairs such as ("4 September 2010", "2010-09-04"), drawn from 1950 to 2020, no day above 28."""
    rng = random.Random(f"dates-{seed}")
    pairs = []
    for _ in range(count):
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1950, 2020)
        pairs.append((f"{day} {MONTHS[month - 1]} {year}", f"{year}-{month:02d}-{day:02d}"))
    return pairs


def korean():
    """Forty everyday English words with their Korean, in a fixed mixed order."""
    pairs = [tuple(pair.split()) for pair in KOREAN.split(", ")]
    random.Random("korean").shuffle(pairs)
    return pairs
