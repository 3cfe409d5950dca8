import pyarrow.parquet as pq
import pytest


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    """An empty data folder, and no hub: a name under .invalid never resolves."""
    monkeypatch.setenv("STUDY_DATA", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    return tmp_path


@pytest.fixture
def repository(data_folder, monkeypatch):
    """Write splits of tables as a data set repository; needs neither network nor hub cache."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.chdir(data_folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", data_folder / "cache")
    datasets.disable_progress_bars()

    def write(name, configuration, tables):
        folder = data_folder / name
        folder.mkdir(parents=True)
        lines = ["---", "configs:", f"- config_name: {configuration}", "  data_files:"]
        for split, table in tables.items():
            pq.write_table(table, folder / f"{split}.parquet")
            lines += [f"  - split: {split}", f"    path: {split}.parquet"]
        (folder / "README.md").write_text("\n".join([*lines, "---", ""]))

    yield write
    datasets.enable_progress_bars()
