"""What a real IPython kernel shows for an error of the package: the user's line and the message."""

import subprocess
import sys

import pandas as pd
import pytest
from support.canary import KEY

import tsn_frames as tsn
from tsn_frames.simulator import Simulator

pytestmark = pytest.mark.slow
SETUP = """
import pandas as pd, tsn_frames as tsn
from tsn_frames.simulator import Simulator
sim = tsn.simulate(latency=0.0)
df = pd.DataFrame({"text": [f"row {i}" for i in range(30)]})
"""


def test_a_mistake_shows_the_line_and_the_message(kernel):
    lines = kernel.run('x = 1\ndf.tsn.complete("Summarise: {txt}")').error
    assert lines[0] == '----> 2 df.tsn.complete("Summarise: {txt}")'
    assert lines[1].startswith("PromptError: the prompt names a column 'txt'")
    assert len(lines) <= 4


def test_a_typo_in_a_parameter_is_as_short(kernel):
    lines = kernel.run('df.tsn.complete("{text}", temprature=0)').error
    assert lines[1].startswith("ArgumentError: complete() has no parameter 'temprature'; did you mean 'temperature'?")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ('df.tsn.complete("{text}", "again")', "complete(): too many positional arguments"),
        ('df.tsn.label("text")', "label(): missing a required argument: 'labels'"),
        ("df.tsn.usage(bye='text')", "usage() has no parameter 'bye'; did you mean 'by'?"),
        ('tsn.start("complete")', "a str is not a verb that sends requests"),
        ("tsn.Chat(modle='m')", "Chat() has no parameter 'modle'; did you mean 'model'?"),
    ],
)
def test_a_call_that_does_not_fit_the_signature_is_as_short(kernel, code, said):
    lines = kernel.run(code).error
    assert lines[0].startswith("----> 1 ") and said in " ".join(lines)
    assert len(lines) <= 5


def test_an_unknown_name_of_the_package_shows_no_line_of_ours(kernel):
    text = "\n".join(kernel.run("tsn.compleet").error)
    assert "no attribute 'compleet'" in text and "__init__.py" not in text


def test_a_function_of_the_user_is_shown_under_the_line_of_the_cell(kernel):
    kernel.run('def ask(frame):\n    return frame.tsn.complete("{nix}")')
    lines = kernel.run("def twice(frame):\n    return frame.pipe(ask)\n\ntwice(df)").error
    assert lines[0] == "----> 4 twice(df)"
    assert lines[1].startswith("----> In[") and lines[1].endswith('line 2: return frame.tsn.complete("{nix}")')
    assert lines[2].startswith("PromptError: ")


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ('%%time\nx = 1\ndf.tsn.complete("{nix}")', '----> 3 df.tsn.complete("{nix}")'),
        ('x = 1\n%time df.tsn.complete("{nix}")', '----> 2 %time df.tsn.complete("{nix}")'),
    ],
)
def test_a_magic_shows_the_line_as_it_was_typed(kernel, cell, shown):
    lines = kernel.run(cell).error
    assert lines[0] == shown and lines[1].startswith("PromptError: ") and len(lines) <= 4


def test_a_run_that_ends_early_says_where_the_frame_is(kernel):
    lines = kernel.run('sim.balance = 5\ndf.tsn.complete("Balance: {text}", progress=False)').error
    kernel.run("sim.balance = None")
    assert lines[1].startswith("BalanceError: the service answered 402: ") and "5 of 30 rows answered" in " ".join(lines)
    assert lines[-1] == "tsn.last_run().frame is the frame so far"
    assert len(lines) <= 6


def test_a_budget_says_where_the_frame_is(kernel):
    lines = kernel.run('df.tsn.complete("Budget: {text}", max_tokens=50, max_cost=0.0003, progress=False)').error
    assert lines[1].startswith("BudgetExceeded: ") and lines[-1] == "tsn.last_run().frame is the frame so far"
    assert len(lines) <= 6


def test_an_interrupt_shows_the_line_and_what_is_kept(kernel):
    kernel.run('slow = tsn.Client(Simulator(latency=0.3).start().base_url, model="sim-small", limits=tsn.Limits(1))')
    kernel.start('import threading\nprint("begins")\ndf.tsn.complete("Stop: {text}", client=slow, progress=True)')
    kernel.wait_until("rows")
    kernel.interrupt()
    cell = kernel.end()
    assert cell.of("error")[0]["ename"] == "KeyboardInterrupt"
    assert cell.error[0] == '----> 3 df.tsn.complete("Stop: {text}", client=slow, progress=True)'
    assert cell.error[1].startswith("KeyboardInterrupt: stopped: ")
    assert "tsn.last_run().frame" in " ".join(cell.error) and len(cell.error) <= 4


def test_an_interrupt_while_the_prompts_are_made_is_as_short(kernel):
    kernel.start(
        'import time\ndef prompt(row):\n    print("made")\n    time.sleep(60)\n\ndf.tsn.complete(prompt, progress=False)'
    )
    kernel.wait_until("made")
    kernel.interrupt()
    lines = kernel.end().error
    assert lines[0] == "----> 6 df.tsn.complete(prompt, progress=False)"
    assert lines[1].startswith("KeyboardInterrupt: stopped: nothing was sent") and len(lines) == 2


def test_an_interrupt_of_a_method_that_sends_nothing_is_as_short(kernel):
    kernel.run('import time\ndef prompt(row):\n    print("begun")\n    time.sleep(60)')
    kernel.start("df.tsn.messages(prompt)")
    kernel.wait_until("begun")
    kernel.interrupt()
    assert kernel.end().error == ["----> 1 df.tsn.messages(prompt)", "KeyboardInterrupt: stopped"]


def test_verbose_mode_shows_everything_and_no_key(kernel):
    kernel.run(f'keyed = tsn.Client(sim.base_url, model="sim-small", api_key={KEY!r})')
    kernel.run("%xmode Verbose")
    lines = kernel.run('df.tsn.complete("{nix}", client=keyed)').error
    kernel.run("%xmode Context")
    text = "\n".join(lines)
    assert "prepare.py" in text and "template.py" in text and len(lines) > 40
    assert KEY not in text


def test_a_script_keeps_its_whole_traceback(tmp_path):
    script = tmp_path / "job.py"
    script.write_text('import pandas as pd, tsn_frames\npd.DataFrame({"text": ["a"]}).tsn.complete("{nix}")\n')
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback (most recent call last)" in done.stderr and "accessor.py" in done.stderr
    assert "tsn_frames.errors.PromptError: the prompt names a column 'nix'" in done.stderr


def test_the_note_stands_below_the_message_of_a_script():
    with Simulator(latency=0.0, balance=1) as sim:
        client = tsn.Client(sim.base_url, model="sim-small")
        with pytest.raises(tsn.errors.BalanceError) as raised:
            pd.DataFrame({"text": ["a", "b"]}).tsn.complete("{text}", client=client, progress=False)
    assert raised.value.__notes__ == ["tsn.last_run().frame is the frame so far"]
    assert "last_run" not in str(raised.value)
