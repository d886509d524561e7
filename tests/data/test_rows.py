"""What is taken as rows; what is refused stands in test_bad_rows."""

from datasets import Dataset

from course_utils.data import rows as tables

ROW = {"prompt": "is it good", "answer": "yes"}
ASKED, SAID = {"role": "user", "content": "is it good"}, {"role": "assistant", "content": "yes"}


def test_lists_data_sets_frames_and_columns_are_rows():
    import pandas

    columns = {name: [value] for name, value in ROW.items()}
    for given in ([ROW], (ROW,), Dataset.from_list([ROW]), pandas.DataFrame([ROW]), columns):
        rows = tables.listed(given)
        tables.need(rows, ("prompt", "answer"))
        assert tables.turns(rows[0], 0) == [ASKED, SAID]


def test_dialogues_of_both_kinds_are_turns():
    system = {"role": "system", "content": "be kind"}
    parts = {"role": "user", "content": [{"type": "text", "text": "is it "}, {"type": "text", "text": "good"}]}
    told = [{"from": "human", "value": "is it good"}, {"from": "gpt", "value": "yes"}]
    assert tables.turns({"messages": [system, ASKED, SAID, ASKED, SAID]}, 0) == [system, ASKED, SAID, ASKED, SAID]
    assert tables.turns({"messages": [parts, SAID]}, 0) == [ASKED, SAID]
    assert tables.turns({"conversations": told}, 0) == [ASKED, SAID]


def test_a_message_names_the_first_rows():
    assert tables.some([4, 7]) == "rows 4, 7" and tables.some(range(9)) == "rows 0, 1, 2, 3, 4, …"
