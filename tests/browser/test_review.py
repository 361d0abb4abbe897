"""A review in a real JupyterLab: keys, search, notes, undo, several pages, accessibility."""

from __future__ import annotations

import hashlib
import random

import pytest
from browser import harness
from browser.review_page import LABELS, SHOW, ReviewPage

MANY = [f"label {n}" for n in range(50)]
HOSTILE = '<img src=x onerror="window.fired = 1"><script>window.fired = 1</script> & <b>bold</b>'


# Keys


def test_a_key_labels_the_text_and_is_a_line_of_the_log(show_review):
    page = show_review()
    first = page.text.text_content()
    page.press("2").at(1).saved()
    assert page.decided() == [["delivery"]]
    assert page.text.text_content() != first
    assert page.notebook.value("review.to_frame()['gold'].dropna().tolist()") == ["delivery"]


def test_200_texts_take_200_keys_and_come_out_of_the_frame(show_review):
    page, choose = show_review(200, [f"label {n}" for n in range(10)]), random.Random(0)
    keys = [choose.choice("1234567890") for _ in range(200)]
    page.press(*keys).status("done").saved()
    assert page.decided() == [[f"label {(int(key) - 1) % 10}"] for key in keys]
    assert page.notebook.value("[review.progress.decided, int(review.to_frame()['gold'].notna().sum())]") == [200, 200]


def test_beyond_ten_labels_there_are_letters_and_a_search(show_review):
    page = show_review(labels=MANY)
    page.press("0", "a", "/").type("49").press("Enter").at(3)
    page.press("/").type("label 1").press("Enter").at(4).saved()
    assert page.decided() == [["label 9"], ["label 10"], ["label 49"], ["label 1"]]


def test_50_labels_take_at_most_three_keys_on_average(show_review):
    """Each label once, by its own key or by the shortest search that finds it first."""
    names = [f"{first}{second} topic" for first in "abcdefghij" for second in "vwxyz"]
    page = show_review(50, names)
    own = "1234567890abcdeghijklmopqrtvwxyz"
    strokes = 0
    for place, name in enumerate(names):
        keys = [own[place]] if place < len(own) else ["/", *name[:2], "Enter"]
        page.press(*keys).at(place + 1)
        strokes += len(keys)
    page.saved()
    assert page.decided() == [[name] for name in names]
    assert strokes / len(names) <= 3.0


def test_keys_do_nothing_while_the_focus_is_elsewhere(show_review):
    page = show_review()
    page.tab.locator(f"{harness.SHOWN} .jp-Cell .cm-content").first.click()
    page.press("1", "2")
    page.tab.evaluate("() => new Promise(then => setTimeout(then, 100))")
    assert page.lines() == [] and page.root.get_attribute("data-index") == "0"


def test_no_key_of_a_review_reaches_the_notebook(show_review):
    """In command mode these would add, cut, convert or merge cells, or run them."""
    page = show_review()
    before = cells(page)
    for focused in (".tsnr-text", "[data-act='flag']"):
        page.root.locator(focused).focus()
        page.tab.keyboard.down("Shift")
        page.press("M", "Enter")
        page.tab.keyboard.up("Shift")
        page.press(*"ddabxcvymlo00", "Escape", "ArrowUp", "ArrowDown")
    assert cells(page) == before and page.root.is_visible()
    assert page.root.evaluate("root => root.contains(document.activeElement)")
    assert [labels for labels in page.decided() if labels] == []


def test_the_notebook_can_be_saved_from_a_review(show_review):
    page = show_review()
    page.tab.evaluate("() => { jupyterapp.shell.currentWidget.context.model.dirty = true }")
    page.press("Control+s")
    page.tab.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    page.press("d", "d", "1").at(1).saved()


def cells(page):
    """The cells of the notebook: a cell that was cut comes back as another."""
    return page.tab.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.map(cell => [cell.model.id, cell.model.type])")


def test_a_key_that_is_held_down_decides_once(show_review):
    page = show_review()
    page.tab.keyboard.down("1")
    page.tab.keyboard.down("1")
    page.tab.keyboard.down("1")
    page.tab.keyboard.up("1")
    page.at(1).saved()
    assert page.decided() == [["billing"]]


def test_a_composed_key_decides_nothing(show_review):
    page = show_review()
    page.text.dispatch_event("keydown", {"key": "1", "isComposing": True, "bubbles": True, "cancelable": True})
    page.press("2").at(1).saved()
    assert page.decided() == [["delivery"]]


def test_note_flag_skip_and_arrows(show_review):
    page = show_review(3)
    page.press("f", "n").type("it has two topics, 1 and 2").press("Enter")
    assert page.marks.text_content() == "Flagged · Note: it has two topics, 1 and 2"
    page.press("1").at(1)
    page.press("s").at(2)
    page.press("ArrowLeft", "ArrowLeft").at(0)
    assert page.chosen() == ["billing"]
    page.press("ArrowRight", "ArrowRight").at(2)
    page.press("3").status("done")
    assert "1 text skipped" in page.text.text_content()
    page.press("s").at(1)
    page.press("4").status("done").saved()
    made = page.notebook.value("[[*one.labels, one.note, one.flag] for one in map(review._session.decision, range(3))]")
    assert made == [["billing", "it has two topics, 1 and 2", True], ["other", "", False], ["praise", "", False]]


def test_escape_leaves_a_note_and_the_search_as_they_were(show_review):
    page = show_review()
    page.press("n").type("no").press("Escape", "/").type("praise").press("Escape")
    page.press("1").at(1).saved()
    assert [line.get("note") for line in page.lines()] == [None]
    assert page.root.locator("[data-label]:visible").count() == len(LABELS)


def test_the_codebook_is_shown_and_closed_by_a_key(show_review):
    page = show_review(labels={"billing": "money taken", "praise": None})
    page.press("?")
    assert "money taken" in page.root.get_by_role("region", name="Codebook").text_content()
    page.press("Escape")
    assert page.root.locator(".tsnr-codebook").is_hidden()
    page.press("1").at(1)


def test_the_mouse_does_what_the_keys_do(show_review):
    page = show_review()
    page.root.locator("[data-label='2']").click()
    page.at(1)
    page.root.locator("[data-act='undo']").click()
    page.at(0)
    page.press("1").at(1).saved()
    assert page.notebook.value("review.to_frame()['gold'].dropna().tolist()") == ["billing"]


def test_the_button_skip_reads_what_was_skipped_at_the_end_as_its_key_does(show_review):
    page = show_review(2)
    page.root.locator("[data-act='skip']").click()
    page.at(1).press("1").status("done")
    page.root.locator("[data-act='skip']").click()
    page.at(0).press("2").status("done").saved()
    assert page.decided() == [None, ["billing"], ["delivery"]]


def test_several_labels_are_toggled_and_confirmed(show_review):
    page = show_review(options="multiple=True")
    page.press("1", "3", "2", "2", "Enter").at(1)
    page.press(" ").at(2).saved()
    assert page.decided() == [["billing", "praise"], []]


def test_an_audit_accepts_with_space(show_review):
    page = show_review(
        options="show='topic'", before="df['topic'] = 'praise'\ndf['topic_agreement'] = [i / 12 for i in range(12)]"
    )
    assert page.text.text_content() == "Text number 0 of the review"
    assert page.root.locator(".tsnr-shown").text_content() == "topic: praise"
    page.press(" ", "1", " ").at(3).saved()
    assert page.decided() == [["praise"], ["billing"], ["praise"]]


def test_raters_who_differ_are_adjudicated(show_review):
    before = "df['gold_ann'] = 'billing'\ndf['gold_bob'] = ['billing'] * 10 + ['praise', None]"
    page = show_review(options="show=['ann', 'bob']", before=before)
    assert page.root.locator(".tsnr-shown").all_text_contents() == ["gold_ann: billinggold_bob: praise"]
    page.press("3").status("done").saved()
    assert page.notebook.value("review.to_frame()['gold'].tolist()") == ["billing"] * 10 + ["praise", "billing"]


# Undo


def test_100_random_steps_and_undos_leave_page_and_log_in_one_state(show_review):
    """A model of the review beside it: a stack of what each step replaced."""
    page, choose, count = show_review(30), random.Random(5), 30
    state, stack, at, undone = {}, [], 0, 0

    def following(index):
        return next(i % count for i in range(index + 1, index + count) if state.get(i % count, (None, False)) == (None, False))

    while undone < 100:
        if stack and choose.random() < 0.5:
            page.press(choose.choice(["u", "Control+z"]))
            at, before = stack.pop()
            state[at] = before
            undone += 1
        elif len([1 for made in state.values() if made != (None, False)]) < count - 2:
            key = choose.choice("1234s")
            stack.append((at, state.get(at, (None, False))))
            state[at] = (None, True) if key == "s" else (LABELS[int(key) - 1], False)
            page.press(key)
            at = following(at)
    page.at(at).saved()
    code = "[[one.labels and one.labels[0], one.skip] for one in map(review._session.decision, range(30))]"
    found = {index: tuple(made) for index, made in enumerate(page.notebook.value(code))}
    assert found == {index: state.get(index, (None, False)) for index in range(count)}
    again = "df.tsn.review('text', LABELS, file=str(review.path))._session"
    assert page.notebook.value(f"(lambda a: list(a.history.entries) == list(review._session.history.entries))({again})")
    assert sum("undo" in line for line in page.lines()) == 100
    for _ in range(len(stack)):
        page.press("u")
    page.at(0).saved()
    assert page.notebook.value("review.progress.decided + review.progress.skipped") == 0


def test_undo_goes_back_beyond_what_an_earlier_kernel_did(show_review):
    page = show_review()
    page.press("1", "2", "3").at(3).saved()
    page.notebook.run(SHOW.format(file=str(page.file), options="", text="text"))
    page = ReviewPage(page.notebook, page.file).status("ready").at(3)
    page.text.click()
    page.press("u", "u").at(1).saved()
    assert page.notebook.value("review.progress.decided") == 1


def test_code_and_a_second_view_stay_in_step(show_review):
    page = show_review()
    page.notebook.python("from IPython.display import display")
    page.notebook.run("display(review); review")
    first, second = ReviewPage(page.notebook, page.file), ReviewPage(page.notebook, page.file, 1)
    for one in (first, second):
        one.status("ready")
    first.text.click()
    first.press("1", "2").at(2).saved()
    second.root.locator(".tsnr-dim", has_text="2 of 12").wait_for()
    page.notebook.python("review.undo()")
    for one in (first, second):
        one.root.locator(".tsnr-dim", has_text="1 of 12").wait_for()


# What is shown


def test_texts_are_shown_as_text(show_review):
    page = show_review(1, before=f"df['text'] = [{HOSTILE!r}]")
    assert page.text.text_content() == HOSTILE
    assert page.text.locator("*").count() == 0 and not page.tab.evaluate("window.fired")


def test_right_to_left_texts_begin_at_the_right(show_review):
    page = show_review(1, before="df['text'] = ['החבילה שלי לא הגיעה']")
    assert page.text.evaluate("text => getComputedStyle(text).direction") == "rtl"


def test_long_texts_scroll_and_the_next_one_begins_at_its_top(show_review):
    page = show_review(2, before="df['text'] = [f'{n} ' + 'word ' * 30_000 for n in range(2)]")
    assert page.text.evaluate("text => text.scrollHeight > text.clientHeight && text.textContent.length < 21000")
    page.press("End", "PageDown")
    page.tab.wait_for_function("() => document.querySelector('.tsnr-text').scrollTop > 0")
    page.root.locator("[data-act='rest']").click()
    assert page.text.evaluate("text => text.textContent.length") == 150_002
    page.press("1").at(1)
    assert page.text.evaluate("text => text.scrollTop") == 0


def test_a_narrow_cell_holds_all_of_it(show_review):
    page = show_review(labels={"a": "x" * 80, "b" * 60: None})
    page.root.evaluate("root => root.style.width = '240px'")
    page.press("?")
    assert page.root.evaluate("root => root.scrollWidth <= root.clientWidth + 1")


def test_those_who_listen_hear_the_label_and_the_next_text(show_review):
    page = show_review()
    page.press("2").at(1)
    heard = page.root.get_by_role("status").text_content()
    assert heard == f"delivery. Text 2 of 12. {page.text.text_content()}"
    assert page.root.get_by_role("progressbar").get_attribute("aria-label") == "Texts decided"


def test_the_focus_is_seen(show_review):
    page = show_review()
    page.press("1").at(1)
    style = page.text.evaluate("text => [getComputedStyle(text).outlineStyle, getComputedStyle(text).outlineWidth]")
    assert style == ["solid", "2px"]


@pytest.mark.parametrize("name", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"])
def test_axe_finds_nothing_to_complain_about_in_a_review(show_review, axe, name):
    before = "df['topic'] = 'praise'"
    page = show_review(
        labels={"money": {"billing": "refunds", "praise": None}, "rest": ["other", "delivery"]},
        options="show='topic'",
        before=before,
    )
    harness.theme(page.notebook, name)
    page.press("f", "1", "n").type("a note").press("Enter", "?", "/")
    page.root.locator(".tsnr-notice").evaluate("notice => { notice.hidden = false; notice.textContent = 'Not saved' }")
    page.tab.evaluate(axe)
    found = page.tab.evaluate("async () => (await axe.run('.tsnr')).violations")
    violations = [
        f"{one['id']}: {node['html'][:120]} {node.get('failureSummary', '')[:200]}" for one in found for node in one["nodes"]
    ]
    harness.theme(page.notebook, "JupyterLab Light")
    assert violations == []


# Blind


class Listening(harness.Notebook):
    """A notebook in its own tab that keeps all that goes over its sockets, and over HTTP."""

    def _watch(self):
        self.traffic = []
        super()._watch()
        self.tab.on("response", self._body)

    def _socket(self, socket):
        for direction in ("framereceived", "framesent"):
            socket.on(direction, lambda frame: self.traffic.append(frame if isinstance(frame, bytes) else frame.encode()))

    def _body(self, response):
        if "/api/" in response.url:
            self.traffic.append(response.url.encode())


def test_the_whole_traffic_of_a_blind_review_holds_no_label_of_the_model(jupyter, context, show_review):
    """The model's label of each row is a unique word, which only the kernel knows."""
    book = Listening(jupyter, context, "blind.ipynb")
    before = (
        "import hashlib\n"
        "df['topic'] = [hashlib.sha256(text.encode()).hexdigest()[:10] for text in df['text']]\n"
        "df['topic_agreement'] = df['topic_probability'] = sum(map(ord, 'zq')) / 7\n"
        "df = df.tsn.gold_sample(100, dev=20)"
    )
    page = show_review(120, before=before, book=book)
    for key in "123s4nuf":
        page.press(key)
    page.press("Escape", *("1" * 130)).status("done")
    page.press("?", "Escape", "ArrowLeft", "u").saved()
    traffic = b"\n".join(book.traffic)
    words = [hashlib.sha256(f"Text number {n} of the review".encode()).hexdigest()[:10] for n in range(120)]
    assert all(f"Text number {n} of the review".encode() in traffic for n in range(120)), "the texts are in it"
    assert [word for word in words if word.encode() in traffic] == []
    assert b"33.57142" not in traffic
    book.close()
