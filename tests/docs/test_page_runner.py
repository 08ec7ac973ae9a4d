"""The runner of the pages' examples finds what is wrong on a page."""

import os
from pathlib import Path

import pytest

from pages import Example, Shell, examples, matches


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("", ""),
        ("one", "one"),
        ("A  B", "A      B  "),
        ("pid …", "pid 4711"),
        ("… ms", "12 ms"),
        ("first\n…\nlast", "first\nlast"),
        ("first\n…\nlast", "first\n1\n2\nlast"),
        ("first\n…", "first"),
        ("first\n…", "first\n1\n2"),
        ("…\nlast", "1\n2\nlast"),
    ],
)
def test_what_a_page_promises_is_recognised(expected: str, printed: str):
    assert matches(expected, printed)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("", "something"),
        ("one", "two"),
        ("one", "one\ntwo"),
        ("pid …", "pid 1\npid 2"),
        ("first\n…\nlast", "first\n1\n2"),
        ("first\nlast", "first\n1\nlast"),
        ("a.c", "abc"),
    ],
)
def test_what_a_page_does_not_promise_is_refused(expected: str, printed: str):
    assert not matches(expected, printed)


def test_commands_files_and_their_lines_are_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "words\n\n```console\n$ one\nprinted\n$ two \\\n> more\n```\n\n"
        "<!-- ci: demo -->\n```sh\nrun by CI\n```\n\n"
        "```toml\n# ~/a/file\nx = 1\n```\n\n<!-- file: ~/b -->\n```json\n{}\n```\n"
    )

    found = [(one.line, one.command, one.expected, one.file) for one in examples(page)]

    assert found == [
        (4, "one", "printed", None),
        (6, "two \\\nmore", "", None),
        (15, "# ~/a/file\nx = 1", "", "~/a/file"),
        (20, "{}", "", "~/b"),
    ]


def test_a_block_that_nothing_tries_is_refused(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("```sh\nrm -rf /\n```\n")

    with pytest.raises(AssertionError, match="nothing tries"):
        list(examples(page))


def test_the_shell_keeps_variables_and_the_folder_from_example_to_example(tmp_path: Path):
    shell = Shell({"PATH": os.environ["PATH"]}, tmp_path)

    shell(Example(1, "mkdir below; cd below; NAME=hello"))

    assert shell(Example(2, 'pwd; echo "$NAME"')) == f"{tmp_path}/below\nhello"
