"""Twins differ in one name; each side of a pair of sentences has the same template."""

from course_utils.data import probes


def test_each_real_question_has_an_invented_twin():
    rows = probes.questions()
    assert len(rows) == 80 and [row.real for row in rows] == [True, False] * 40
    for real, invented in zip(rows[::2], rows[1::2], strict=True):
        assert real.form == invented.form and real.text.split()[:2] == invented.text.split()[:2]
        assert real.text != invented.text
    assert len({row.text for row in rows}) == 80


def test_sentences_differ_in_the_group_alone():
    for name, pairs in probes.group_sentences().items():
        one, two = name.split(" less ")
        assert all(first.replace(one, "*") == second.replace(two, "*") for first, second in pairs)
    sentences = probes.job_sentences()
    assert len(sentences) == len(set(probes.JOBS)) == 24
    assert {len(texts) for texts in sentences.values()} == {4}


def test_words_keep_the_space_of_their_token():
    assert all(word.startswith(" ") for word in (*probes.GOOD, *probes.BAD))
    assert len(probes.GOOD) == len(probes.BAD) and not set(probes.GOOD) & set(probes.BAD)
