import pytest


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """An empty data folder, and no hub: a name under .invalid never resolves."""
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    return tmp_path
