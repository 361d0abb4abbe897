"""A chat about a row in a real JupyterLab: the question stays a template, and the code for all rows is what was written."""

from __future__ import annotations

import pytest
from browser import harness
from browser.scripted import SCRIPT

ROWS = """
import pandas as pd
df = pd.DataFrame({{"text": ["The kettle leaks.", "Where is it?"], "gold": ["angry", "calm"]}})
client = tsn.Client({url!r}, model="sim-small", prices={{"sim-small": (0.25, 1.0)}})
chat = df.tsn.chat(0, "Is the customer angry? {{text}}", {options}client=client)
chat
"""


@pytest.fixture
def open_row(notebook, quick):
    def show(options=""):
        notebook.run("import tsn_frames as tsn" + ROWS.format(url=quick.base_url, options=options))
        return harness.ChatPage(notebook).ready()

    return show


def editor(chat, place=0):
    chat.act("edit", chat.turn(place))
    return chat.root.get_by_role("textbox", name="Edit message")


def code_of(chat):
    chat.act("apply")
    chat.root.locator(".tsn-apply pre").wait_for()
    return chat.root.locator(".tsn-apply pre").inner_text()


def test_edit_shows_the_template_and_apply_keeps_it(open_row, quick):
    chat = open_row("name='angry', missing='empty', ")
    chat.act("regenerate")
    chat.turn(1, "done")
    chat.ready()
    area = editor(chat)
    assert area.input_value() == "Is the customer angry? {text}"
    area.fill("Is the customer cross? {text}")
    area.press("Enter")
    chat.turn(0).get_by_text("Is the customer cross? The kettle leaks.").wait_for()
    chat.turn(1, "done")
    chat.ready()
    assert quick.log[-1].body["messages"][-1]["content"] == "Is the customer cross? The kettle leaks."
    code = code_of(chat)
    assert "prompt='Is the customer cross? {text}'" in code and "gold" not in code
    assert "name='angry'" in code and "missing='empty'" in code and "df.tsn.estimate(" in code
    assert chat.root.locator(".tsn-warning").count() == 0


def test_the_code_of_the_page_runs_in_a_cell(open_row):
    chat = open_row("name='angry', ")
    code = chat.root.locator(".tsn-apply pre")
    chat.act("apply")
    code.wait_for()
    chat.notebook.python("tsn.set_client(client)\n" + code.text_content())
    assert chat.notebook.value("out['angry_error'].isna().all().item()") is True


def test_a_switch_shows_the_template_in_place_of_the_filled_text(open_row):
    chat = open_row()
    assert chat.text(0) == "Is the customer angry? The kettle leaks."
    chat.turn(0).hover()
    chat.act("template", chat.turn(0))
    assert chat.text(0) == "Is the customer angry? {text}"
    chat.act("copy", chat.turn(0))
    chat.copied("Is the customer angry? {text}")
    chat.act("template", chat.turn(0))
    assert chat.text(0) == "Is the customer angry? The kettle leaks."


def test_a_typed_placeholder_is_filled_and_comes_back_as_it_was_typed(open_row, quick):
    chat = open_row()
    SCRIPT['Was "The kettle leaks." about {"a": 1}?'] = "yes"
    chat.asked('Was "{text}" about {"a": 1}?')
    assert chat.texts()[1:] == ['Was "The kettle leaks." about {"a": 1}?', "yes"]
    assert chat.box.input_value() == ""
    chat.act("undo")
    chat.turn(1).wait_for(state="detached")
    assert chat.box.input_value() == 'Was "{text}" about {"a": 1}?'


def test_a_mistyped_placeholder_is_refused_before_it_is_sent(open_row, quick):
    chat = open_row()
    chat.type("Is {txt} kind?").box.press("Enter")
    chat.notice.get_by_text("did you mean 'text'?").wait_for()
    assert chat.box.input_value() == "Is {txt} kind?"
    assert quick.stats().requests == 0


def test_another_question_can_be_chosen_for_all_rows(open_row):
    chat = open_row()
    chat.asked("Why?")
    assert "Is the customer angry? {text}" in code_of(chat)
    choice = chat.root.get_by_label("Question for every row")
    assert choice.locator("option").all_inner_texts() == ["Is the customer angry? {text}", "Why?"]
    choice.select_option("Why?")
    chat.root.locator(".tsn-apply pre").filter(has_text="prompt='Why?'").wait_for()
    warned = chat.root.locator(".tsn-warning").all_inner_texts()
    assert len(warned) == 2 and "every row would send the same text" in warned[0] and "not sent along" in warned[1]


def test_the_code_follows_the_settings_and_later_questions_and_leaves_with_its_question(open_row):
    chat = open_row()
    code_of(chat)
    code = chat.root.locator(".tsn-apply pre")
    chat.act("settings")
    field = chat.root.locator("[data-field='temperature']")
    field.fill("0.5")
    field.blur()
    code.filter(has_text="temperature=0.5").wait_for()
    chat.asked("Is {text} kind?")
    choice = chat.root.get_by_label("Question for every row")
    choice.wait_for()
    choice.press("ArrowDown")
    code.filter(has_text="prompt='Is {text} kind?'").wait_for()
    assert choice.evaluate("select => select === document.activeElement")
    chat.act("undo")
    code.wait_for(state="hidden")


def test_the_text_of_the_row_in_a_question_is_warned_of(open_row):
    chat = open_row()
    area = editor(chat)
    area.fill("Is this angry: The kettle leaks. And {gold}?")
    area.press("Enter")
    chat.turn(1, "done")
    chat.ready()
    code_of(chat)
    assert chat.root.locator(".tsn-warning").all_inner_texts() == [
        "The question holds the text that row 0 has in 'text', so every row would send that text. Write {text} in its place."
    ]


def test_the_system_prompt_in_the_settings_is_a_template_and_shows_what_is_sent(open_row, quick):
    chat = open_row("system='A shop. Gold: {gold}.', ")
    chat.act("settings")
    field = chat.root.locator("[data-field='system']")
    assert field.input_value() == "A shop. Gold: {gold}."
    chat.root.get_by_text("As it is sent").click()
    chat.root.get_by_text("A shop. Gold: angry.").wait_for()
    field.fill("A hotel. Gold: {gold}.")
    field.blur()
    chat.root.get_by_text("A hotel. Gold: angry.").wait_for()
    assert chat.notebook.value("chat.system") == "A hotel. Gold: angry."


def test_the_total_counts_what_is_no_longer_shown(open_row):
    chat = open_row()
    chat.act("regenerate")
    chat.turn(1, "done")
    chat.ready()
    assert "· cost 0.0000" in chat.totals.text_content()
    chat.act("regenerate", chat.turn(1))
    chat.totals.filter(has_text="this chat").wait_for()
    chat.act("clear")
    chat.act("clear-yes")
    chat.turn(0).wait_for(state="detached")
    assert chat.totals.text_content().startswith("this chat 0.0000") and "(shown 0.00)" in chat.totals.text_content()
    assert chat.notebook.value("len(chat.to_frame(removed=True))") == 3
