"""Resumable states: whole or not at all, found again, never mixed up."""

from pathlib import Path

import pytest
import torch

from echosynth.common.resume import ResumeState, code_hash


@pytest.fixture(autouse=True)
def _own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "parent"))
    monkeypatch.chdir(tmp_path)


def test_a_state_comes_back_in_another_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)[:, 0]}
    ResumeState("test", {"x": 1}).save(tensors, {"step": 7, "curve": [{"loss": 0.5}]})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = ResumeState("test", {"x": 1}).load()
    assert loaded is not None
    assert all(torch.equal(loaded[0][name], tensor) for name, tensor in tensors.items())
    assert loaded[1] == {"step": 7, "curve": [{"loss": 0.5}]}


def test_other_keys_have_other_states_and_clear_forgets() -> None:
    state = ResumeState("test", {"x": 1})
    state.save({"a": torch.zeros(1)}, {})
    assert ResumeState("test", {"x": 2}).load() is None
    state.clear()
    assert state.load() is None


def test_a_failed_save_leaves_the_state_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ResumeState("test", 1)
    state.save({"a": torch.zeros(1)}, {"step": 1})

    def torn(tensors: object, path: Path, facts: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("echosynth.common.weights.save_weights", torn)
    with pytest.raises(KeyboardInterrupt):
        state.save({"a": torch.ones(1)}, {"step": 2})
    loaded = state.load()
    assert loaded is not None
    assert loaded[1] == {"step": 1}
    assert [path.name for path in state.folder.iterdir()] == ["state.safetensors"]


def test_a_torn_state_is_named_and_the_one_before_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    state = ResumeState("test", 1)
    for step in (1, 2):
        state.save({"a": torch.full((100,), float(step))}, {"step": step})
    whole = state.load()
    assert whole is not None
    assert whole[1] == {"step": 2}
    state.path.write_bytes(state.path.read_bytes()[:200])
    before = state.load()
    assert before is not None
    assert (before[1], before[0]["a"][0].item()) == ({"step": 1}, 1.0)
    assert "state.safetensors is torn" in capsys.readouterr().err
    state.previous.write_text("hello")
    assert state.load() is None


def test_a_torn_state_never_takes_the_place_of_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    state = ResumeState("test", 1)
    for step in (1, 2):
        state.save({"a": torch.zeros(100)}, {"step": step})
    state.path.write_bytes(state.path.read_bytes()[:200])
    state.load()
    replace = Path.replace

    def stop(path: Path, target: Path) -> Path:
        if target == state.path:
            raise KeyboardInterrupt  # killed between the two renames of a save
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        state.save({"a": torch.zeros(100)}, {"step": 3})
    saved = state.load()
    assert saved is not None
    assert saved[1] == {"step": 1}


def test_code_hash_follows_the_code() -> None:
    assert code_hash("echosynth.diffusion.ema") == code_hash("echosynth.diffusion.ema")
    assert code_hash("echosynth.diffusion.ema") != code_hash("echosynth.diffusion.ema", "echosynth.compute.device")
