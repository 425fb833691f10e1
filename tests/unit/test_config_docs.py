from pathlib import Path

from awnlib.report.config_docs import SECTIONS, describe_config

PAGE = Path(__file__).parents[2] / "docs" / "config.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == describe_config(), "run: python -m awnlib.report.config_docs > docs/config.md"


def test_every_key_is_explained():
    unexplained = [
        f"{title} {name}"
        for title, kind in SECTIONS
        for name, field in kind.model_fields.items()
        if not field.description
    ]
    assert unexplained == []
