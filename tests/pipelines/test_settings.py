"""Each option stands once: as a field of the settings, which click shows and reads."""

import dataclasses
import pickle
from typing import Any

import click
import pytest

import zerodce
from pipelines import cli
from pipelines.enhance.settings import EnhanceSettings
from pipelines.preprocess.settings import PreprocessSettings
from pipelines.settings import Application, option, options_of

COMMANDS = {"enhance": EnhanceSettings, "preprocess": PreprocessSettings, "evaluate": Application}
PATHS = {"enhance": ["photos", "out"], "preprocess": ["data", "out"], "evaluate": ["lol"]}


def made(command: str, *arguments: str) -> dict[str, Any]:
    """What a command passes to its settings."""
    params = cli.main.commands[command].make_context(command, [*PATHS[command], *arguments]).params
    return {name: value for name, value in params.items() if name not in PATHS[command]}


@pytest.mark.parametrize("command", COMMANDS)
def test_click_shows_the_help_of_each_field(command: str) -> None:
    shown = {parameter.name: parameter for parameter in cli.main.commands[command].params}
    fields = [field for field in dataclasses.fields(COMMANDS[command]) if field.name != "beam_args"]
    assert [name for name in shown if name in {field.name for field in fields}] == [field.name for field in fields]
    for field in fields:
        assert shown[field.name].help == field.metadata["option"].get("help"), field.name
        assert len(shown[field.name].opts) == 1


@pytest.mark.parametrize("command", ["enhance", "preprocess"])
def test_a_command_without_options_makes_the_default_settings(command: str) -> None:
    assert COMMANDS[command](**made(command)) == COMMANDS[command]()


def test_evaluate_applies_a_model_as_enhance_does() -> None:
    EvaluateSettings = pytest.importorskip("pipelines.evaluate").EvaluateSettings  # noqa: N806
    assert Application.of(EvaluateSettings(**made("evaluate"))) == Application() == Application.of(EnhanceSettings())
    settings = EvaluateSettings(**made("evaluate", "--look", "bright", "--curve-size", "full"))
    assert Application.of(settings) == Application(look="bright", curve_size="full")


def test_a_program_names_only_what_differs() -> None:
    arguments = ["--strength", "0.5", "--no-autocontrast", "--format", "jpeg", "--exclude", "*.tmp", "--exclude", "raw"]
    arguments += ["--max-bytes", "2KB", "--denoise", "off", "--json", "--pairs", "p.csv", "--", "--flink_master=here"]
    assert EnhanceSettings(**made("enhance", *arguments)) == EnhanceSettings(
        strength=0.5,
        autocontrast=False,
        output_format="JPEG",
        exclude=("*.tmp", "raw"),
        max_bytes=2000,
        denoise="off",
        as_json=True,
        pairs="p.csv",
        beam_args=("--flink_master=here",),
    )
    arguments = ["--size", "320x240", "--workers", "2", "--damaged", "reject", "--verify"]
    assert PreprocessSettings(**made("preprocess", *arguments)) == PreprocessSettings(
        size=(320, 240), workers=2, damaged="reject", verify=True
    )


def test_settings_travel_and_do_not_change() -> None:
    settings = EnhanceSettings(strength=0.5, max_memory=10)
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.strength = 1.0  # type: ignore[misc]


def test_the_digest_of_a_finished_archive_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zerodce, "REVISION", 2)
    assert EnhanceSettings().digest_with("abc") == "3c3e9ffebced1304"  # or every photo would be done anew
    assert EnhanceSettings(workers=3, verify=True).digest_with("abc") == "3c3e9ffebced1304"
    assert EnhanceSettings(strength=0.5).digest_with("abc") != "3c3e9ffebced1304"


def test_a_field_without_option_is_none_of_the_command() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings:
        first: int = option("7", "--one", type=click.INT, help="The first.")
        between: int = 1
        second_one: bool = option(False)

    command = click.command()(options_of(Settings)(lambda **options: None))
    assert [parameter.opts for parameter in command.params] == [["--one"], ["--second-one"]]
    assert Settings(**command.make_context("command", []).params) == Settings(first=7)
    assert Settings(**command.make_context("command", ["--second-one"]).params) == Settings(second_one=True)
