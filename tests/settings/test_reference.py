"""The option tables of the documentation are those of the models."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.policy.guard_models import GuardsFile
from penstock.policy.model_keys import tables
from penstock.policy.models import ProviderFile
from penstock.policy.source_models import SourcesFile
from penstock.policy.tenant_models import TenantsFile
from penstock.policy.warmup_models import WarmupFile
from penstock.settings import reference
from penstock.settings.models import Settings


@pytest.mark.parametrize(
    ("name", "text"),
    [("config.md", reference.config_page()), ("policies.md", reference.policies_page())],
)
def test_the_pages_are_up_to_date(root: Path, name: str, text: str) -> None:
    page = root / "docs" / "reference" / name
    hint = "run: python -m penstock.settings.reference docs/reference policies/schema"
    assert page.read_text("utf-8") == text, hint


def test_every_option_is_described_in_one_sentence() -> None:
    for model in (Settings, ProviderFile, SourcesFile, TenantsFile, WarmupFile, GuardsFile):
        for header, table in tables(model):
            for name, info in table.model_fields.items():
                text = info.description or ""
                assert text.endswith("."), f"{header} {name}"
                assert len(text) <= 100, f"{header} {name}"


def test_no_type_or_default_is_left_to_python() -> None:
    for page in (reference.config_page(), reference.policies_page()):
        for oddity in ("typing.", "penstock.", "None", "<class", "factory", "("):
            rows = [line for line in page.splitlines() if line.startswith("| `")]
            cells = [cell for line in rows for cell in line.split(" | ")[1:3]]
            assert not [cell for cell in cells if oddity in cell]


def test_pages_are_printed_or_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([]) == 0
    assert "# config.toml" in capsys.readouterr().out
    assert reference.main([str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.md", "policies.md"]
    schemas = tmp_path / "schema"
    schemas.mkdir()
    assert reference.main([str(tmp_path), str(schemas)]) == 0
    names = ["default", "guards", "provider", "replies", "sources", "tenants", "warmup"]
    assert sorted(path.stem for path in schemas.iterdir()) == names
