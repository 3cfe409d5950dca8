"""Bit tasks against what they are said to be, read off the batches themselves."""

import pytest
import torch

from tasks.catalogue import make_task

CPU = torch.device("cpu")


def test_bit_memory_asks_for_one_of_the_strings_it_shows():
    task = make_task("bit-memory", protocol="paper", args={"num_patterns": 3, "num_bits": 40, "patch_size": 10})
    batch = task.stream(0, CPU).draw(200)
    assert batch.inputs.shape == (200, 16, 10)
    strings = batch.inputs.reshape(200, 4, 40)
    shown, query = strings[:, :3], strings[:, 3]
    answer = 2.0 * batch.targets - 1
    is_hidden = query == 0
    assert shown.abs().eq(1).all()
    assert torch.equal(query[~is_hidden], answer[~is_hidden])
    assert 0.45 < is_hidden.float().mean() < 0.55
    is_asked = (shown == answer.unsqueeze(1)).all(dim=2)
    assert is_asked.any(dim=1).all()
    assert is_asked.any(dim=0).all()


def test_bit_memory_has_the_layout_of_the_paper():
    layout = make_task("bit-memory", protocol="fixed", args={}).layout
    assert (layout.num_tokens, layout.num_features, layout.num_readouts, layout.num_targets) == (120, 50, 20, 50)


def test_copying_visible_bits_scores_the_floor():
    task = make_task("bit-memory", protocol="paper", args={})
    batch = task.split("test", CPU)
    query = batch.inputs.flatten(1)[:, -1000:]
    accuracy = ((query > 0).long() == batch.targets).double().mean()
    assert accuracy == pytest.approx(task.floor_accuracy, abs=0.005)


@pytest.mark.parametrize("num_patterns", [2, 3])
def test_bit_xor_is_the_parity_of_raw_bits(num_patterns):
    task = make_task("bit-xor", protocol="paper", args={"num_patterns": num_patterns, "num_bits": 70})
    batch = task.stream(0, CPU).draw(50)
    bits = batch.inputs.reshape(50, num_patterns, 70).long()
    assert bits.unique().tolist() == [0, 1]
    parity = bits[:, 0]
    for pattern in range(1, num_patterns):
        parity = parity ^ bits[:, pattern]
    assert torch.equal(batch.targets, parity)


def test_bit_xor_has_the_layout_of_the_paper():
    layout = make_task("bit-xor", protocol="fixed", args={}).layout
    assert (layout.num_tokens, layout.num_features, layout.num_readouts, layout.num_targets) == (10, 1, 5, 1)


@pytest.mark.parametrize("name", ["bit-memory", "bit-xor"])
def test_splits_are_fixed_and_share_no_long_example(name):
    args = {"num_bits": 100, "num_valid_examples": 20, "num_test_examples": 30}
    task = make_task(name, protocol="fixed", args=args)
    seen = [task.stream(seed, CPU).draw(100).inputs for seed in range(3)]
    seen += [task.split("valid", CPU).inputs, task.split("test", CPU).inputs]
    rows = torch.cat(seen).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows) == 350
    assert torch.equal(task.split("test", CPU).inputs, task.split("test", CPU).inputs)
    assert [task.num_examples(split) for split in ("train", "valid", "test")] == [None, 20, 30]


def test_the_endless_train_split_is_a_fixed_sample():
    task = make_task("bit-xor", protocol="fixed", args={"num_valid_examples": 12})
    assert len(task.split("train", CPU).targets) == 12
    stream = task.stream(0, CPU)
    sample = stream.examples()
    assert torch.equal(sample.inputs, stream.draw(12).inputs)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"patch_size": 30}, "patch size 30 does not divide 1000 bits; choose one of 1, 2, 4, 5"),
        ({"num_bits": 0}, "num_bits = 0 is too small; give 1 or more"),
        ({"num_test_examples": -1}, "num_test_examples = -1 is too small; give 1 or more"),
    ],
)
def test_impossible_sizes_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        make_task("bit-memory", protocol="fixed", args=args)


def test_a_probe_of_bit_memory_puts_the_string_that_is_asked_for_first():
    task = make_task("bit-memory", protocol="fixed", args={"num_patterns": 4, "num_bits": 60, "patch_size": 20})
    probe = task.probe(CPU)
    assert probe is not None
    num_examples = len(probe.inputs)
    aligned = probe.inputs[torch.arange(num_examples).unsqueeze(1), probe.order].reshape(num_examples, 5, 60)
    first, query = aligned[:, 0], aligned[:, 4]
    assert (first == query)[query != 0].all()
    assert ((aligned[:, 1:4] == query.unsqueeze(1)) | (query == 0).unsqueeze(1)).all(dim=2).sum() == 0
    assert torch.equal(probe.order.sort(dim=1).values, torch.arange(15).expand(num_examples, -1))
    assert len(probe.order.unique(dim=0)) == 4
    assert probe.relevant.tolist() == [[True] * 3 + [False] * 12] * 3
    again = make_task("bit-memory", protocol="paper", args={"num_patterns": 4, "num_bits": 60, "patch_size": 20})
    other = again.probe(CPU)
    assert other is not None and torch.equal(other.inputs, probe.inputs)
    splits = torch.cat([task.split(name, CPU).inputs for name in ("train", "valid", "test")])
    assert not (probe.inputs.flatten(1).unsqueeze(1) == splits.flatten(1)).all(dim=2).any()


def test_a_probe_of_bit_xor_names_the_bits_of_which_the_parity_is_asked():
    task = make_task("bit-xor", protocol="fixed", args={"num_bits": 4, "num_patterns": 3})
    probe = task.probe(CPU)
    assert probe is not None
    assert probe.relevant.nonzero().tolist() == [[q, q + 4 * p] for q in range(4) for p in range(3)]
    assert torch.equal(probe.order[5], torch.arange(12)) and probe.inputs.shape[1:] == (12, 1)
    assert make_task("listops", protocol="fixed", args={}).probe(CPU) is None
