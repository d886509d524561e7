"""Small tasks with exact answers, for prompts: dates in another notation, Korean words, capitals, opposites."""

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
CAPITALS = (
    "France Paris, Japan Tokyo, Italy Rome, Spain Madrid, Egypt Cairo, Russia Moscow, Germany Berlin, Greece Athens, "
    "Kenya Nairobi, Norway Oslo, Cuba Havana, Peru Lima, Austria Vienna, Ireland Dublin, China Beijing, Iran Tehran, "
    "Portugal Lisbon, Sweden Stockholm, Finland Helsinki, Denmark Copenhagen, Poland Warsaw, Hungary Budapest, "
    "Belgium Brussels, Canada Ottawa, Thailand Bangkok, Vietnam Hanoi, Iraq Baghdad, Syria Damascus, Lebanon Beirut, "
    "Turkey Ankara, Bulgaria Sofia, Romania Bucharest, Serbia Belgrade, Croatia Zagreb, Ukraine Kyiv, Cyprus Nicosia, "
    "Iceland Reykjavik, Scotland Edinburgh, Wales Cardiff, Chile Santiago, Venezuela Caracas, Ecuador Quito, "
    "Senegal Dakar, Ghana Accra, Morocco Rabat, Tunisia Tunis, Nepal Kathmandu, Indonesia Jakarta"
)
OPPOSITES = (
    "hot cold, big small, up down, left right, fast slow, young old, rich poor, light dark, wet dry, day night, "
    "open closed, early late, happy sad, hard soft, high low, strong weak, full empty, clean dirty, thick thin, "
    "long short, love hate, win lose, buy sell, push pull, true false, war peace, black white, north south, east west, "
    "first last, inside outside, above below, before after, alive dead, deep shallow, wide narrow, heavy light, "
    "noisy quiet, cheap expensive, easy difficult, sweet bitter, summer winter, friend enemy, question answer, "
    "begin end, give take, male female, always never"
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
    return _mixed(KOREAN, "korean")


def capitals():
    """Forty-eight countries with their capitals, in a fixed mixed order; names of one word."""
    return _mixed(CAPITALS, "capitals")


def opposites():
    """Forty-eight English words with their opposites, in a fixed mixed order."""
    return _mixed(OPPOSITES, "opposites")


def _mixed(words, order):
    pairs = [tuple(pair.split()) for pair in words.split(", ")]
    random.Random(order).shuffle(pairs)
    return pairs
